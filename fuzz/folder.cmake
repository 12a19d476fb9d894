# SPDX-License-Identifier: Apache-2.0
fuzz_target(folder LINKS buckler_formats buckler_tokenizer)
