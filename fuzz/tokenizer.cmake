# SPDX-License-Identifier: Apache-2.0
fuzz_target(tokenizer LINKS buckler_tokenizer)
target_compile_definitions(fuzz_tokenizer PRIVATE BUCKLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
