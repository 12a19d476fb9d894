# SPDX-License-Identifier: Apache-2.0
# Every knob of the build, each with the reason why it exists.

option(BUCKLER_SANITIZE_ADDRESS "Build with ASan and UBSan; findings abort the test that made them" OFF)
option(BUCKLER_SANITIZE_THREAD "Build with TSan, for the tests of the engine's queues and pool" OFF)
option(BUCKLER_FUZZ "Build libFuzzer targets (clang only); without it the same files only replay their seeds" OFF)
option(BUCKLER_COVERAGE "Count executed lines and branches, for the coverage report" OFF)

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)

add_compile_definitions(_GNU_SOURCE BUCKLER_VERSION="${PROJECT_VERSION}")
# -ffp-contract=off: a fused multiply-add is written where it is wanted, so that sums do not depend on the compiler.
add_compile_options(-Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
                    -Wvla -fno-strict-aliasing -fno-omit-frame-pointer -ffp-contract=off
                    -fstack-protector-strong -fno-common)
add_link_options(-Wl,-z,relro,-z,now -Wl,--as-needed)
include_directories(${PROJECT_SOURCE_DIR})

if(BUCKLER_SANITIZE_ADDRESS)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all)
  add_link_options(-fsanitize=address,undefined)
endif()
if(BUCKLER_SANITIZE_THREAD)
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
endif()
if(BUCKLER_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(BUCKLER_COVERAGE)
  add_compile_options(--coverage)
  add_link_options(--coverage)
endif()
