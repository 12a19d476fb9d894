# SPDX-License-Identifier: Apache-2.0
fuzz_target(gguf LINKS buckler_formats)
