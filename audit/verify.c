/* SPDX-License-Identifier: Apache-2.0
 *
 * Verification, from the files and the public key alone, in one pass and bounded memory. First the signed
 * checkpoints, each by its signature. Then the records in order: frame, leaf against the tile and the entry
 * bundle, the tiles above it that it completes, and, where a checkpoint was signed, the root. A tree that has
 * each of the signed roots at its size contains all of them one in the other. The first thing that is wrong
 * ends it; buckler-audit(5) lists the checks in the same order. Nothing is written and no lock is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "audit/history.h"
#include "audit/proof/checkpoint.h"
#include "audit/proof/tile_edge.h"
#include "audit/segment.h"
#include "base/cleanup.h"
#include "base/digest.h"

struct level {
    struct tree_hash stored[TILE_WIDTH]; /* of the tile on disk */
    struct tree_hash own[TILE_WIDTH];
};

struct verify {
    const struct audit_check *check;
    struct audit_report *report;
    struct error *reterr;
    struct note_key key;
    int fd, history_fd;
    bool alive; /* a writer was at work when this began */
    struct segment_list list;

    struct checkpoint last, kept;
    bool history_torn;
    struct history_reader history; /* in step with the records */
    struct checkpoint next;        /* whose size was not reached yet; size 0: none is left */
    uint64_t good_size;            /* of the checkpoint before it */

    struct tree_range range;
    struct level levels[TILE_LEVELS];
    struct buf bundle;
    struct slice entries[TILE_WIDTH];
    uint64_t segment_number;
};

/* Where a record comes from, for the report. */
struct place {
    const char *file;
    uint64_t offset, index;
};

__attribute__((format(printf, 4, 5))) static int fault(struct verify *v, int code, struct place place,
                                                       const char *format, ...) {
    char why[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(why, sizeof why, format, arguments);
    va_end(arguments);
    v->report->bad_index = place.index;
    v->report->offset = place.offset;
    (void)snprintf(v->report->file, sizeof v->report->file, "%s", place.file);
    return error_set(v->reterr, code, "record %llu: %s byte %llu: %s", (unsigned long long)place.index,
                     place.file, (unsigned long long)place.offset, why);
}

static int broken(struct verify *v, int number, const char *file) {
    return error_errno(v->reterr, number, "%s cannot be read", file);
}

/* ---- checkpoints ---- */

static int open_kept(struct verify *v) {
    CLEANUP(buf_deinit) struct buf note = {0};
    struct error why = {0};
    const char *path = v->check->kept;
    if (path == NULL) {
        return 0;
    }
    int rc = tile_get(&tile_io_kernel, AT_FDCWD, path, NOTE_MAX_BYTES, &note, v->reterr);
    if (rc != 0) {
        return rc < 0 ? rc : -ENOENT;
    }
    rc = checkpoint_open(note.bytes, note.size, &v->key, 1, NULL, &v->kept, &why);
    if (rc != 0) {
        return error_set(v->reterr, rc < 0 ? rc : AUDIT_E_UNREADABLE, "%s: %s", path, why.text);
    }
    return v->kept.size <= v->last.size
               ? 0
               : fault(v, AUDIT_E_GAP, (struct place){path, 0, v->last.size},
                       "the checkpoint that was kept covers %llu records, the log's last one %llu",
                       (unsigned long long)v->kept.size, (unsigned long long)v->last.size);
}

static int check_note(struct verify *v, struct slice note, uint64_t offset) {
    struct error why = {0};
    struct checkpoint checkpoint;
    int rc = checkpoint_open(note.bytes, note.size, &v->key, 1, NULL, &checkpoint, &why);
    if (rc < 0) {
        return error_set(v->reterr, rc, "%s", why.text);
    }
    if (rc > 0 || checkpoint.size <= v->last.size) {
        return fault(v, AUDIT_E_TAMPERED, (struct place){HISTORY_FILE, offset, v->last.size}, "%s",
                     rc > 0 ? why.text : "the checkpoint is not larger than the one before");
    }
    v->last = checkpoint;
    v->report->checkpoints++;
    return 0;
}

static int check_history(struct verify *v, struct slice published) {
    struct slice note;
    uint64_t match = 0;
    int rc = 0;
    history_reader_init(&v->history, v->history_fd);
    while ((rc = history_reader_next(&v->history, &note)) == 0) {
        rc = check_note(v, note, v->history.offset);
        if (rc != 0) {
            return rc;
        }
        if (note.size == published.size && memcmp(note.bytes, published.bytes, note.size) == 0) {
            match = v->report->checkpoints;
        }
    }
    if (rc < 0) {
        return broken(v, -rc, HISTORY_FILE);
    }
    v->history_torn = rc == HISTORY_TORN && !v->alive;
    struct place place = {"checkpoint", 0, v->last.size};
    if (match == 0) {
        return fault(v, AUDIT_E_TAMPERED, place, "it is not among those in " HISTORY_FILE);
    }
    /* The writer appends to the history first, so one may be ahead. */
    return v->report->checkpoints - match <= 1 || v->alive
               ? 0
               : fault(v, AUDIT_E_TAMPERED, place, "it is not the last one in " HISTORY_FILE);
}

/* The next checkpoint of the history into v->next; signatures were checked before. */
static int next_checkpoint(struct verify *v) {
    struct slice bytes;
    struct note note;
    v->next.size = 0;
    if (v->good_size >= v->last.size) {
        return 0;
    }
    int rc = history_reader_next(&v->history, &bytes);
    rc = rc == 0 ? note_parse(bytes.bytes, bytes.size, &note, v->reterr) : rc;
    rc = rc == 0 ? checkpoint_parse(note.text, &v->next, v->reterr) : rc;
    return rc == 0 ? 0 : broken(v, EIO, HISTORY_FILE);
}

static int check_checkpoints(struct verify *v) {
    CLEANUP(buf_deinit) struct buf published = {0};
    int rc = tile_get(&tile_io_kernel, v->fd, "checkpoint", HISTORY_MAX_ENTRY_BYTES, &published, NULL);
    if (rc > 0) {
        return fault(v, AUDIT_E_TAMPERED, (struct place){"checkpoint", 0, 0}, "there is no checkpoint");
    }
    if (rc < 0) {
        return broken(v, -rc, "checkpoint");
    }
    v->history_fd = segment_open(v->fd, HISTORY_FILE, O_RDONLY, v->reterr);
    if (v->history_fd == -ENOENT) {
        return fault(v, AUDIT_E_TAMPERED, (struct place){HISTORY_FILE, 0, 0}, "it is missing");
    }
    if (v->history_fd < 0) {
        return v->history_fd;
    }
    rc = check_history(v, (struct slice){(const char *)published.bytes, published.size});
    v->report->covered = v->last.size;
    hex_encode(v->last.root.bytes, TREE_HASH_BYTES, v->report->root);
    rc = rc != 0 ? rc : open_kept(v);
    history_reader_init(&v->history, v->history_fd);
    return rc != 0 ? rc : next_checkpoint(v);
}

/* ---- the tree ---- */

/* Tile `number` of a level, as wide as the last checkpoint's tree has it. */
static struct tile tile_of(const struct verify *v, unsigned level, uint64_t number) {
    unsigned height = level == TILE_ENTRIES ? 0 : level;
    bool full = number < tile_count_full(height, v->last.size);
    return (struct tile){level, number, full ? TILE_WIDTH : tile_partial_width(height, v->last.size)};
}

static int tile_fault(struct verify *v, int rc, const struct tile *tile, uint64_t index,
                      const struct error *why) {
    char path[TILE_PATH_SIZE];
    tile_path(tile, path);
    return rc < 0 ? error_set(v->reterr, rc, "%s", why->text)
                  : fault(v, AUDIT_E_TAMPERED, (struct place){path, 0, index}, "%s", why->text);
}

/* Takes the hash of a full subtree that ends with record `index` into its tile, and so on upwards. */
static int push(struct verify *v, unsigned at, struct tree_hash hash, uint64_t index) {
    for (unsigned level = at; level < TILE_LEVELS; level++) {
        struct level *l = &v->levels[level];
        struct error why = {0};
        uint64_t item = index >> (8 * level);
        size_t slot = item % TILE_WIDTH;
        struct tile tile = tile_of(v, level, item / TILE_WIDTH);
        uint64_t first = item << (8 * level);
        int rc = slot == 0 ? tile_fetch_hashes(&tile_io_kernel, v->fd, &tile, l->stored, &why) : 0;
        if (rc != 0) {
            return tile_fault(v, rc, &tile, first, &why);
        }
        if (!tree_hash_equal(&l->stored[slot], &hash)) {
            char path[TILE_PATH_SIZE];
            tile_path(&tile, path);
            return fault(v, AUDIT_E_TAMPERED, (struct place){path, slot * TREE_HASH_BYTES, first},
                         "the hash is not that of the records");
        }
        l->own[slot] = hash;
        if (slot + 1 < TILE_WIDTH) {
            return 0;
        }
        rc = tree_fold(l->own, 8, &hash);
        if (rc < 0) {
            return broken(v, -rc, "a hash");
        }
    }
    return 0;
}

static int compare_root(struct verify *v, const struct checkpoint *checkpoint, struct place place) {
    struct tree_hash root;
    int rc = tree_range_root(&v->range, &root);
    if (rc < 0) {
        return broken(v, -rc, "a root");
    }
    return tree_hash_equal(&root, &checkpoint->root)
               ? 0
               : fault(v, AUDIT_E_TAMPERED, place, "records %llu to %llu are not those that were signed",
                       (unsigned long long)place.index, (unsigned long long)checkpoint->size - 1);
}

static int append_leaf(struct verify *v, const struct tree_hash *leaf) {
    int rc = tree_range_append(&v->range, leaf);
    if (rc < 0) {
        return broken(v, -rc, "a leaf");
    }
    if (v->range.size == v->next.size) {
        rc = compare_root(v, &v->next, (struct place){HISTORY_FILE, v->history.offset, v->good_size});
        v->good_size = v->next.size;
        rc = rc != 0 ? rc : next_checkpoint(v);
    }
    if (rc == 0 && v->range.size == v->kept.size) {
        rc = compare_root(v, &v->kept, (struct place){v->check->kept, 0, 0});
    }
    return rc;
}

/* A record that is not read: its leaf as the tile has it. */
static int take_tile(struct verify *v) {
    uint64_t index = v->range.size;
    struct error why = {0};
    if (index % TILE_WIDTH == 0) {
        struct tile tile = tile_of(v, 0, index / TILE_WIDTH);
        int rc = tile_fetch_hashes(&tile_io_kernel, v->fd, &tile, v->levels[0].stored, &why);
        if (rc != 0) {
            return tile_fault(v, rc, &tile, index, &why);
        }
    }
    struct tree_hash leaf = v->levels[0].stored[index % TILE_WIDTH];
    int rc = push(v, 0, leaf, index);
    return rc != 0 ? rc : append_leaf(v, &leaf);
}

static int compare_entry(struct verify *v, const struct frame *frame) {
    struct tile tile = tile_of(v, TILE_ENTRIES, frame->seq / TILE_WIDTH);
    size_t slot = frame->seq % TILE_WIDTH;
    struct error why = {0};
    if (slot == 0 || v->bundle.size == 0) {
        buf_clear(&v->bundle);
        int rc = tile_fetch_bundle(&tile_io_kernel, v->fd, &tile, &v->bundle, v->entries, &why);
        if (rc != 0) {
            return tile_fault(v, rc, &tile, frame->seq, &why);
        }
    }
    const struct slice *entry = &v->entries[slot];
    if (entry->size != frame->size || memcmp(entry->bytes, frame->payload, frame->size) != 0) {
        char path[TILE_PATH_SIZE];
        tile_path(&tile, path);
        return fault(
            v, AUDIT_E_TAMPERED,
            (struct place){path, (uint64_t)((const uint8_t *)entry->bytes - v->bundle.bytes), frame->seq},
            "the entry is not the record");
    }
    return 0;
}

static int take_record(struct verify *v, const struct frame *frame) {
    struct tree_hash leaf;
    int rc = tree_leaf(frame->payload, frame->size, &leaf);
    if (rc < 0) {
        return broken(v, -rc, "a leaf");
    }
    if (frame->seq < v->last.size) {
        rc = compare_entry(v, frame);
        rc = rc != 0 ? rc : push(v, 0, leaf, frame->seq);
    }
    return rc != 0 ? rc : append_leaf(v, &leaf);
}

/* ---- segments ---- */

static int check_header(struct verify *v, struct segment_reader *reader, const struct segment *segment,
                        bool first) {
    struct segment_header header;
    struct tree_hash root;
    const char *why = NULL;
    bool known = false;
    uint64_t index = v->range.size;
    struct place place = {segment->name, 0, index};
    if (segment->first != index) {
        return fault(v, segment->first > index ? AUDIT_E_GAP : AUDIT_E_TAMPERED, place,
                     "the segment does not begin where the one before ends");
    }
    int rc = segment_reader_header(reader, &header, &why);
    rc = rc < 0 ? rc : tree_range_root(&v->range, &root);
    if (rc < 0) {
        return broken(v, -rc, segment->name);
    }
    if (why != NULL) {
        return fault(v, AUDIT_E_TAMPERED, place, "the header %s", why);
    }
    for (uint32_t i = 0; i < header.key_count; i++) {
        known = known || header.keys[i] == v->key.id;
    }
    why = header.first != segment->first                  ? "has another first index than its name"
          : !first && header.number != v->segment_number  ? "has not the number that follows"
          : first && index == 0 && header.number != 0     ? "has not the number 0"
          : strcmp(header.log_id, v->key.name) != 0       ? "is that of another log"
          : !known                                        ? "does not name the key"
          : memcmp(&root, &header.root, sizeof root) != 0 ? "has not the root of the records before it"
                                                          : NULL;
    v->segment_number = header.number + 1;
    return why == NULL ? 0 : fault(v, AUDIT_E_TAMPERED, place, "the header %s", why);
}

/* Something else stands where record `place.index` belongs. */
static int misplaced(struct verify *v, struct segment_reader *reader, struct place place,
                     const struct frame *frame, const char *why, bool final) {
    if (final && place.index >= v->last.size) {
        int damage = v->alive ? 0 : segment_reader_is_damage(reader, place.index);
        if (damage < 0) {
            return broken(v, -damage, place.file);
        }
        if (damage == 0) {
            return v->alive ? 0 : fault(v, AUDIT_E_TORN_TAIL, place, "the last batch is incomplete");
        }
    }
    if (frame != NULL) {
        return fault(v, frame->seq > place.index ? AUDIT_E_GAP : AUDIT_E_TAMPERED, place,
                     "record %llu stands there", (unsigned long long)frame->seq);
    }
    return fault(v, AUDIT_E_TAMPERED, place, "%s", why);
}

static int check_frames(struct verify *v, struct segment_reader *reader, const struct segment *segment,
                        bool final) {
    uint64_t batch = 0;
    while (v->range.size < v->check->to || v->check->to == 0) {
        struct frame frame;
        const char *why = NULL;
        int rc = segment_reader_next(reader, &frame, &why);
        struct place place = {segment->name, reader->offset, v->range.size};
        if (rc < 0) {
            return broken(v, -rc, segment->name);
        }
        if (rc == SEGMENT_END) {
            return 0;
        }
        if (rc != 0 || frame.seq != place.index) {
            return misplaced(v, reader, place, rc == 0 ? &frame : NULL, why, final);
        }
        if (frame.batch != frame.seq && (frame.batch != batch || frame.seq == segment->first)) {
            return fault(v, AUDIT_E_TAMPERED, place, "it names a batch that is not its own");
        }
        batch = frame.batch;
        rc = take_record(v, &frame);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int check_segment(struct verify *v, size_t at, bool first) {
    const struct segment *segment = &v->list.items[at];
    struct segment_reader reader;
    CLEANUP(close_fd) int fd = segment_open(v->fd, segment->name, O_RDONLY, v->reterr);
    if (fd < 0) {
        return fd;
    }
    int rc = segment_reader_open(&reader, fd);
    if (rc != 0) {
        return broken(v, -rc, segment->name);
    }
    rc = check_header(v, &reader, segment, first);
    rc = rc != 0 ? rc : check_frames(v, &reader, segment, at + 1 == v->list.count);
    segment_reader_close(&reader);
    return rc;
}

static int check_records(struct verify *v) {
    uint64_t from = v->check->from < v->last.size ? v->check->from : v->last.size;
    size_t at = 0;
    while (at + 1 < v->list.count && v->list.items[at + 1].first <= from) {
        at++;
    }
    int rc = 0;
    /* Without a beginning that was asked for, or when the first segment there is lies behind it, the first
     * segment's header says what is missing. */
    while (rc == 0 && v->check->from > 0 && v->range.size < v->list.items[at].first && v->range.size < from) {
        rc = take_tile(v);
    }
    for (size_t i = at; rc == 0 && i < v->list.count && (v->check->to == 0 || v->range.size < v->check->to);
         i++) {
        rc = check_segment(v, i, i == at);
    }
    v->report->records = v->range.size;
    while (rc == 0 && v->check->to > 0 && v->range.size >= v->check->to && v->range.size < v->last.size) {
        rc = take_tile(v);
    }
    if (rc == 0 && v->range.size < v->last.size) {
        rc = fault(v, AUDIT_E_GAP, (struct place){v->list.items[v->list.count - 1].name, 0, v->range.size},
                   "the log ends there, but %llu records were signed", (unsigned long long)v->last.size);
    }
    if (rc == 0 && v->history_torn) {
        rc = fault(v, AUDIT_E_TORN_TAIL, (struct place){HISTORY_FILE, 0, v->last.size},
                   "the last entry is incomplete");
    }
    return rc;
}

/* ---- the door ---- */

static int verify(struct verify *v, const char *directory) {
    struct error why = {0};
    int rc = note_key_parse((struct slice){v->check->key, strlen(v->check->key)}, &v->key, &why);
    if (rc != 0 || v->key.kind != NOTE_ED25519) {
        return error_set(v->reterr, AUDIT_E_UNREADABLE, "the key: %s",
                         rc != 0 ? why.text : "it is not that of a log");
    }
    v->fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (v->fd < 0) {
        return broken(v, errno, directory);
    }
    v->alive = segment_writer_alive(v->fd);
    /* The checkpoints before the segments: what they cover is in files that exist by then. */
    rc = segment_list_read(v->fd, &v->list, v->reterr);
    if (rc == 0 && v->list.count == 0) {
        return error_set(v->reterr, AUDIT_E_UNREADABLE, "%s holds no log", directory);
    }
    rc = rc != 0 ? rc : check_checkpoints(v);
    segment_list_deinit(&v->list);
    rc = rc != 0 ? rc : segment_list_read(v->fd, &v->list, v->reterr);
    return rc != 0 ? rc : check_records(v);
}

int audit_verify(const char *directory, const struct audit_check *check, struct audit_report *ret_report,
                 struct error *reterr) {
    *ret_report = (struct audit_report){0};
    struct verify *v = calloc(1, sizeof *v);
    if (v == NULL) {
        return error_errno(reterr, ENOMEM, "the log cannot be verified");
    }
    v->check = check;
    v->report = ret_report;
    v->reterr = reterr;
    v->fd = v->history_fd = -1;
    tree_range_init(&v->range);
    int rc = verify(v, directory);
    segment_list_deinit(&v->list);
    close_fd(&v->history_fd);
    close_fd(&v->fd);
    buf_deinit(&v->bundle);
    free(v);
    /* A broken system call is one more way in which a log cannot be read. */
    if (rc < 0 && reterr != NULL) {
        reterr->code = AUDIT_E_UNREADABLE;
    }
    return rc < 0 ? AUDIT_E_UNREADABLE : rc;
}
