# SPDX-License-Identifier: Apache-2.0
fuzz_target(identity LINKS buckler_front_parse)
