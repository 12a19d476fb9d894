# SPDX-License-Identifier: Apache-2.0
# The real buckler-front under real and raw clients, with a core that reports what arrived.
add_library(front_harness STATIC front_core.c front_client.c)
target_link_libraries(front_harness PUBLIC buckler_ipc PkgConfig::ZMQ PkgConfig::JANSSON PkgConfig::CMOCKA Threads::Threads)
target_compile_definitions(front_harness PRIVATE BUCKLER_BINARY_DIR="${PROJECT_BINARY_DIR}")

foreach(name front_messages front_hostile)
  add_executable(${name} ${name}.c)
  target_link_libraries(${name} PRIVATE front_harness)
  add_dependencies(${name} buckler-front)
  if(BUCKLER_SANITIZE_ADDRESS OR BUCKLER_SANITIZE_THREAD)
    target_compile_definitions(${name} PRIVATE BUCKLER_SANITIZED=1)
  else()
    target_compile_definitions(${name} PRIVATE BUCKLER_SANITIZED=0)
  endif()
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  add_test(NAME integration/${name} COMMAND ${name})
  set_tests_properties(integration/${name} PROPERTIES LABELS integration TIMEOUT 120)
endforeach()
