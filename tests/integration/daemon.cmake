# SPDX-License-Identifier: Apache-2.0
add_test(NAME integration/daemon COMMAND ${BUCKLER_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/test_daemon.py)
set_tests_properties(integration/daemon PROPERTIES LABELS integration TIMEOUT 900 RUN_SERIAL TRUE
                     ENVIRONMENT "BUCKLER_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};PYTHONDONTWRITEBYTECODE=1")

# Needs no model, and so also runs under the sanitizers.
add_test(NAME hostile/daemon COMMAND ${BUCKLER_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/test_hostile.py)
set_tests_properties(hostile/daemon PROPERTIES LABELS hostile TIMEOUT 900
                     ENVIRONMENT "BUCKLER_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};PYTHONDONTWRITEBYTECODE=1")

# Alone: a tcp port that it found free must still be free when its daemon binds it.
add_test(NAME hostile/tenants COMMAND ${BUCKLER_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/test_tenants.py)
set_tests_properties(hostile/tenants PROPERTIES LABELS hostile TIMEOUT 300 RUN_SERIAL TRUE
                     ENVIRONMENT "BUCKLER_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};PYTHONDONTWRITEBYTECODE=1")
