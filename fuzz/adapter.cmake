# SPDX-License-Identifier: Apache-2.0
fuzz_target(adapter LINKS buckler_formats)
