/* SPDX-License-Identifier: Apache-2.0
 *
 * Private to engine/formats: adapter_config.json of PEFT and MLX.
 */
#ifndef BUCKLER_ENGINE_FORMATS_ADAPTER_CONFIG_H
#define BUCKLER_ENGINE_FORMATS_ADAPTER_CONFIG_H

#include "engine/formats/adapter_names.h"

struct adapter_config;

/* Refuses what is not a plain LoRA, and a config without the keys of its style. */
int adapter_config_parse(const void *text, size_t size, enum adapter_style style,
                         struct adapter_config **ret_config, struct error *reterr) MUST_CHECK;
struct adapter_config *adapter_config_free(struct adapter_config *config);

/* The scale of one module, whose pair has `rank`: an error when the config says another rank. */
int adapter_config_scale(const struct adapter_config *config, const struct adapter_name *name, uint32_t rank,
                         float *ret_scale, struct error *reterr) MUST_CHECK;

#endif
