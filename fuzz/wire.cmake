# SPDX-License-Identifier: Apache-2.0
fuzz_target(wire LINKS buckler_front_parse)
