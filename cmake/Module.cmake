# SPDX-License-Identifier: Apache-2.0
# Leaf CMakeLists.txt files are bare lists; what happens to the lists is said here once.

# `programs` builds what is installed, `fuzz_targets` what fuzzes.
add_custom_target(programs)
add_custom_target(fuzz_targets)

# module(NAME SOURCES a.c b.c LINKS other_module PkgConfig::X): the static library buckler_NAME.
function(module name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(buckler_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(buckler_${name} PUBLIC ${ARG_LINKS})
endfunction()

# program(NAME SOURCES main.c LINKS …): an executable in build/<preset>/bin.
function(program name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS})
  add_dependencies(programs ${name})
endfunction()

# unit_test(MODULE FILE LINKS …): tests/unit/MODULE/test_FILE.c as the ctest MODULE/FILE with the label unit.
function(unit_test mod file)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  set(target test_${mod}_${file})
  add_executable(${target} test_${file}.c)
  target_link_libraries(${target} PRIVATE ${ARG_LINKS} PkgConfig::CMOCKA)
  target_compile_definitions(${target} PRIVATE BUCKLER_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                                               BUCKLER_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME unit/${mod}/${file} COMMAND ${target})
  set_tests_properties(unit/${mod}/${file} PROPERTIES LABELS unit TIMEOUT 300)
endfunction()

# fuzz_target(NAME LINKS …): fuzz/fuzz_NAME.c. With BUCKLER_FUZZ a libFuzzer program, and always the ctest
# fuzz/NAME that replays the seeds in fuzz/seeds/NAME.
function(fuzz_target name)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  if(BUCKLER_FUZZ)
    add_executable(fuzz_${name} fuzz_${name}.c)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  else()
    add_executable(fuzz_${name} fuzz_${name}.c replay.c)
  endif()
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINKS})
  add_dependencies(fuzz_targets fuzz_${name})
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  add_test(NAME fuzz/${name} COMMAND fuzz_${name} -runs=0 ${CMAKE_CURRENT_SOURCE_DIR}/seeds/${name})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 300)
endfunction()
