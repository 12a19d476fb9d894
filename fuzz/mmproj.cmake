# SPDX-License-Identifier: Apache-2.0
fuzz_target(mmproj LINKS buckler_vision)
