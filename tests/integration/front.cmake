# SPDX-License-Identifier: Apache-2.0
# The real buckler-front under real and raw clients, with a core that reports what arrived.
add_library(front_harness STATIC front_core.c front_client.c)
target_link_libraries(front_harness PUBLIC buckler_ipc PkgConfig::ZMQ PkgConfig::JANSSON PkgConfig::CMOCKA Threads::Threads)
target_compile_definitions(front_harness PRIVATE BUCKLER_BINARY_DIR="${PROJECT_BINARY_DIR}")
if(BUCKLER_SANITIZE_ADDRESS OR BUCKLER_SANITIZE_THREAD)
  target_compile_definitions(front_harness PUBLIC BUCKLER_SANITIZED=1)
else()
  target_compile_definitions(front_harness PUBLIC BUCKLER_SANITIZED=0)
endif()

# front_test(NAME ARGUMENTS …): front_NAME.c as the ctest integration/front_NAME.
function(front_test name)
  add_executable(front_${name} front_${name}.c)
  target_link_libraries(front_${name} PRIVATE front_harness)
  add_dependencies(front_${name} buckler-front)
  set_target_properties(front_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME integration/front_${name} COMMAND front_${name} ${ARGN})
  set_tests_properties(integration/front_${name} PROPERTIES LABELS integration TIMEOUT 120)
endfunction()

front_test(messages)
front_test(hostile)
front_test(curve)
front_test(conformance ${BUCKLER_PYTHON} ${PROJECT_SOURCE_DIR}/clients/conformance/run.py)
