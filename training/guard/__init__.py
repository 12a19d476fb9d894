# SPDX-License-Identifier: Apache-2.0
"""Fits the heads of buckler-guard on frozen hidden states of Gemma 3 270M."""
