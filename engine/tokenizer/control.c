/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "engine/tokenizer/pieces.h"

static const char *const names[] = {
    /* all generations */
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<mask>",
    "[multimodal]",
    "[@BOS@]",
    "<2mass>",
    /* Gemma 1 to 3n */
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<start_of_audio>",
    "<end_of_audio>",
    "<audio_soft_token>",
    /* Gemma 4 */
    "<|tool>",
    "<tool|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    "<|\"|>",
    "<|think|>",
    "<|channel>",
    "<channel|>",
    "<|turn>",
    "<turn|>",
    "<|image>",
    "<|audio>",
    "<|image|>",
    "<|audio|>",
    "<image|>",
    "<audio|>",
    "<|video|>",
    "<|video>",
    "<video|>",
};

/* <unused0>, <unused6241>, … */
static bool is_unused(const char *text, size_t size) {
    static const char prefix[] = "<unused";
    size_t at = sizeof prefix - 1;
    if (size < at + 2 || memcmp(text, prefix, at) != 0 || text[size - 1] != '>') {
        return false;
    }
    while (at < size - 1 && text[at] >= '0' && text[at] <= '9') {
        at++;
    }
    return at == size - 1;
}

bool control_name(const char *text, size_t size) {
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i]) == size && memcmp(names[i], text, size) == 0) {
            return true;
        }
    }
    return is_unused(text, size);
}
