# SPDX-License-Identifier: Apache-2.0
add_test(NAME integration/eval COMMAND ${BUCKLER_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/test_eval.py)
set_tests_properties(integration/eval PROPERTIES LABELS integration TIMEOUT 300
                     ENVIRONMENT "BUCKLER_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY};PYTHONDONTWRITEBYTECODE=1")
