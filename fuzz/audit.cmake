# SPDX-License-Identifier: Apache-2.0
fuzz_target(audit LINKS buckler_audit PkgConfig::JANSSON)
fuzz_target(proof LINKS buckler_proof)
