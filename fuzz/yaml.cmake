# SPDX-License-Identifier: Apache-2.0
fuzz_target(yaml LINKS buckler_policies)
