# SPDX-License-Identifier: Apache-2.0
fuzz_target(image LINKS buckler_decode_worker)
