# SPDX-License-Identifier: Apache-2.0
fuzz_target(text LINKS buckler_decode_worker)
