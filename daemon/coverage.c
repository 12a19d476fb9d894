/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of a part was judged. A part is complete when some classifier judged its kind and every one that
 * did saw all of it; an animation of which frames are missing is not.
 */
#include "daemon/request.h"

void request_measure_coverage(struct request *r, unsigned part) {
    const struct canonical_part *content = &r->decode[part].part;
    struct classifier_coverage *best = &r->coverage[part];
    bool judged = false;
    bool complete = true;
    *best = (struct classifier_coverage){.bytes_judged = content->bytes};
    for (size_t i = 0; i < r->policy->policy->classifier_count; i++) {
        const struct classifier_task *task = &r->tasks[i];
        if (!r->task_planned[i] || (r->policy->classifiers[i].type->kinds & 1u << content->kind) == 0) {
            continue;
        }
        judged = true;
        if (task->coverage == NULL) {
            continue;
        }
        const struct classifier_coverage *c = &task->coverage[part];
        complete = complete && c->bytes_judged >= content->bytes;
        best->bytes_judged = c->bytes_judged < best->bytes_judged ? c->bytes_judged : best->bytes_judged;
        best->tokens_total = c->tokens_total > best->tokens_total ? c->tokens_total : best->tokens_total;
        best->tokens_judged = c->tokens_total >= best->tokens_total ? c->tokens_judged : best->tokens_judged;
    }
    if (content->kind == CONTENT_IMAGE && content->image.frames_judged < content->image.frames_total) {
        complete = false;
    }
    if (!judged) {
        best->bytes_judged = 0;
    }
    r->policy_parts[part] = (struct policy_part){.kind = content->kind,
                                                 .flags = content->flags,
                                                 .judged = r->in.parts[part].judge,
                                                 .complete = judged && complete};
}
