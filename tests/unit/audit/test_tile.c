/* SPDX-License-Identifier: Apache-2.0
 *
 * Tiles: their names, which ones a tree has, in what order and how durably they are written, and what reads
 * them. The power is cut at every call.
 */
#include "disk.h"

#include <ftw.h>
#include <unistd.h>

#include "audit/proof/tile.h"

enum { HERE = 3 /* a descriptor that the disk in memory does not look at */ };

static const uint64_t seeds[] = {0, UINT64_MAX, 0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u};

struct log {
    struct disk disk;
    struct tile_io io;
    struct tile_writer writer;
};

/* Record `index` has index % 7 bytes and its number in them. */
static struct slice record(uint64_t index, char out[24]) {
    int length = snprintf(out, 24, "%llu%.*s", (unsigned long long)index, (int)(index % 7), "......");
    return (struct slice){out, (size_t)length};
}

static int append_io(struct tile_writer *writer, uint64_t to, struct error *error) {
    uint64_t from = writer->range.size;
    size_t count = (size_t)(to - from);
    struct slice *records = calloc(count + 1, sizeof *records);
    char(*texts)[24] = calloc(count + 1, sizeof *texts);
    assert_true(records != NULL && texts != NULL);
    for (size_t i = 0; i < count; i++) {
        records[i] = record(from + i, texts[i]);
    }
    int rc = tile_append(writer, records, count, error);
    free(records);
    free(texts);
    return rc;
}

static void log_init(struct log *log) {
    struct tree_range empty;
    tree_range_init(&empty);
    log->disk = (struct disk){0};
    log->io = disk_io(&log->disk);
    tile_writer_init(&log->writer, &log->io, HERE, &empty);
}

static void grow(struct log *log, uint64_t to) {
    struct error error;
    assert_int_equal(append_io(&log->writer, to, &error), 0);
    assert_int_equal(log->writer.range.size, to);
}

/* The tree that the files hold is the range's, and so are the records: all of a small tree, some of a large.
 */
static void assert_readable(const struct tile_io *io, int dir_fd, const struct tree_range *range) {
    struct tile_reader *reader = NULL;
    struct tree_hash root, expected;
    struct error error;
    uint64_t step = range->size < 2000 ? 1 : range->size / 97;
    assert_int_equal(tile_reader_new(io, dir_fd, range->size, &reader, &error), 0);
    struct tree_source source = tile_reader_source(reader);
    assert_int_equal(tree_source_root(&source, range->size, &root, &error), 0);
    assert_int_equal(tree_range_root(range, &expected), 0);
    assert_true(tree_hash_equal(&root, &expected));
    for (uint64_t i = 0; i < range->size; i += step) {
        struct tree_proof proof;
        struct tree_hash leaf, kept;
        struct buf entry = {0};
        char text[24];
        struct slice wanted = record(i, text);
        assert_int_equal(tile_reader_entry(reader, i, &entry, &error), 0);
        assert_int_equal(entry.size, wanted.size);
        assert_memory_equal(entry.bytes, wanted.bytes, wanted.size);
        assert_int_equal(tree_leaf(entry.bytes, entry.size, &leaf), 0);
        assert_int_equal(source.subtree(source.user, 0, i, &kept, &error), 0);
        assert_true(tree_hash_equal(&leaf, &kept));
        if (i % 101 == 0) {
            assert_int_equal(tree_prove_inclusion(&source, i, range->size, &proof, &error), 0);
            assert_int_equal(
                tree_check_inclusion(&leaf, i, range->size, proof.hashes, proof.count, &root, &error), 0);
        }
        buf_deinit(&entry);
    }
    assert_null(tile_reader_free(reader));
}

/* ---- names ---- */

static void test_paths_are_the_published_ones_both_ways(void **state) {
    (void)state;
    static const struct {
        struct tile tile;
        const char *path;
    } rows[] = {
        {{0, 0, 256}, "tile/0/000"},
        {{0, 999, 256}, "tile/0/999"},
        {{3, 1000, 256}, "tile/3/x001/000"},
        {{0, 1234067, 256}, "tile/0/x001/x234/067"},
        {{63, 1234067, 1}, "tile/63/x001/x234/067.p/1"},
        {{0, 273, 112}, "tile/0/273.p/112"},
        {{TILE_ENTRIES, 273, 112}, "tile/entries/273.p/112"},
        {{TILE_ENTRIES, 1000000, 255}, "tile/entries/x001/x000/000.p/255"},
        {{0, INT64_MAX, 255}, "tile/0/x009/x223/x372/x036/x854/x775/807.p/255"},
        {{TILE_ENTRIES, INT64_MAX, 255}, "tile/entries/x009/x223/x372/x036/x854/x775/807.p/255"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[TILE_PATH_SIZE];
        struct tile tile;
        struct error error;
        tile_path(&rows[i].tile, path);
        assert_string_equal(path, rows[i].path);
        assert_int_equal(tile_parse((struct slice){path, strlen(path)}, &tile, &error), 0);
        assert_int_equal(tile.level, rows[i].tile.level);
        assert_int_equal(tile.index, rows[i].tile.index);
        assert_int_equal(tile.width, rows[i].tile.width);
    }
}

static void test_a_tree_of_seventy_thousand_has_the_published_tiles(void **state) {
    (void)state;
    assert_int_equal(tile_count_full(0, 70000), 273);
    assert_int_equal(tile_partial_width(0, 70000), 112);
    assert_int_equal(tile_count_full(TILE_ENTRIES, 70000), 273);
    assert_int_equal(tile_partial_width(TILE_ENTRIES, 70000), 112);
    assert_int_equal(tile_count_full(1, 70000), 1);
    assert_int_equal(tile_partial_width(1, 70000), 17);
    assert_int_equal(tile_count_full(2, 70000), 0);
    assert_int_equal(tile_partial_width(2, 70000), 1);
    assert_int_equal(tile_partial_width(3, 70000), 0);
    assert_int_equal(tile_count_full(0, 256), 1);
    assert_int_equal(tile_partial_width(0, 256), 0);
    assert_int_equal(tile_partial_width(1, 256), 1);
    assert_int_equal(tile_partial_width(7, TREE_MAX_SIZE), 127);
    assert_int_equal(tile_partial_width(8, TREE_MAX_SIZE), 0);
    assert_int_equal(tile_count_full(63, TREE_MAX_SIZE), 0);
}

/* ---- writing ---- */

static size_t count_files(struct disk *disk) {
    size_t count = 0;
    for (size_t i = 0; i < disk->name_count; i++) {
        count += disk->names[i].now >= 0;
    }
    return count;
}

static size_t size_of(struct disk *disk, const char *path) {
    int file = disk_find(disk, path);
    assert_true(file >= 0);
    return disk->files[file].now.size;
}

static void test_the_writer_makes_exactly_the_tiles_of_the_tree(void **state) {
    (void)state;
    struct log log;
    log_init(&log);
    grow(&log, 256);
    assert_int_equal(count_files(&log.disk), 3);
    assert_int_equal(size_of(&log.disk, "tile/0/000"), 8192);
    assert_int_equal(size_of(&log.disk, "tile/1/000.p/1"), 32);
    assert_true(disk_find(&log.disk, "tile/entries/000") >= 0);
    assert_readable(&log.io, HERE, &log.writer.range);
    disk_deinit(&log.disk);

    log_init(&log);
    grow(&log, 70000);
    assert_int_equal(count_files(&log.disk), 2 * 274 + 3);
    assert_int_equal(size_of(&log.disk, "tile/0/272"), 8192);
    assert_int_equal(size_of(&log.disk, "tile/0/273.p/112"), 112 * 32);
    assert_int_equal(size_of(&log.disk, "tile/1/000"), 8192);
    assert_int_equal(size_of(&log.disk, "tile/1/001.p/17"), 17 * 32);
    assert_int_equal(size_of(&log.disk, "tile/2/000.p/1"), 32);
    assert_true(disk_find(&log.disk, "tile/entries/273.p/112") >= 0);
    disk_cut(&log.disk, 0);
    assert_readable(&log.io, HERE, &log.writer.range);
    disk_deinit(&log.disk);
}

static void test_steps_of_any_length_give_the_same_tree(void **state) {
    (void)state;
    struct log steps, once;
    struct tree_hash a, b;
    log_init(&steps);
    log_init(&once);
    steps.disk.interrupt = true;
    for (uint64_t size = 1, step = 1; size < 1700; step = step * 3 % 331 + 1, size += step) {
        grow(&steps, size);
        disk_cut(&steps.disk, 0);
        assert_int_equal(tree_range_root(&steps.writer.range, &a), 0);
    }
    grow(&once, steps.writer.range.size);
    assert_int_equal(tree_range_root(&steps.writer.range, &a), 0);
    assert_int_equal(tree_range_root(&once.writer.range, &b), 0);
    assert_true(tree_hash_equal(&a, &b));
    assert_readable(&steps.io, HERE, &steps.writer.range);
    /* Every file of the tree is the same to the byte. */
    for (size_t i = 0; i < once.disk.name_count; i++) {
        if (once.disk.names[i].now >= 0) {
            const struct buf *expected = &once.disk.files[once.disk.names[i].now].now;
            int file = disk_find(&steps.disk, once.disk.names[i].path);
            assert_true(file >= 0);
            assert_int_equal(steps.disk.files[file].now.size, expected->size);
            assert_memory_equal(steps.disk.files[file].now.bytes, expected->bytes, expected->size);
        }
    }
    disk_deinit(&steps.disk);
    disk_deinit(&once.disk);
}

static void test_calls_come_in_the_order_that_survives_a_power_cut(void **state) {
    (void)state;
    struct log log;
    log_init(&log);
    log.disk.log = calloc(1, DISK_LOG);
    grow(&log, 1);
    assert_string_equal(
        log.disk.log, "mkdir tile\nopen .\nfsync .\nclose .\n"
                      "mkdir tile/entries\nopen tile\nfsync tile\nclose tile\n"
                      "mkdir tile/entries/000.p\nopen tile/entries\nfsync tile/entries\nclose tile/entries\n"
                      "create .tile.new\nwrite .tile.new\nfsync .tile.new\nclose .tile.new\n"
                      "rename tile/entries/000.p/1\n"
                      "open tile/entries/000.p\nfsync tile/entries/000.p\nclose tile/entries/000.p\n"
                      "mkdir tile/0\nopen tile\nfsync tile\nclose tile\n"
                      "mkdir tile/0/000.p\nopen tile/0\nfsync tile/0\nclose tile/0\n"
                      "create .tile.new\nwrite .tile.new\nfsync .tile.new\nclose .tile.new\n"
                      "rename tile/0/000.p/1\n"
                      "open tile/0/000.p\nfsync tile/0/000.p\nclose tile/0/000.p\n");
    grow(&log, 255);
    log.disk.log[0] = '\0';
    grow(&log, 257);
    /* What is full first, records before hashes and hashes upwards; then the new edge. */
    static const char *const renames[] = {"rename tile/entries/000\n", "rename tile/0/000\n",
                                          "rename tile/entries/001.p/1\n", "rename tile/0/001.p/1\n",
                                          "rename tile/1/000.p/1\n"};
    const char *at = log.disk.log;
    for (size_t i = 0; i < sizeof renames / sizeof *renames; i++) {
        at = strstr(at, renames[i]);
        assert_non_null(at);
    }
    disk_deinit(&log.disk);
}

static void test_a_directory_is_synced_once_and_then_remembered(void **state) {
    (void)state;
    struct log log;
    log_init(&log);
    grow(&log, 1);
    grow(&log, 2);
    log.disk.log = calloc(1, DISK_LOG);
    grow(&log, 3);
    assert_null(strstr(log.disk.log, "mkdir"));
    assert_null(strstr(log.disk.log, "fsync tile\n"));
    /* Another process does not know what this one knew. */
    tile_writer_init(&log.writer, &log.io, HERE, &log.writer.range);
    log.disk.log[0] = '\0';
    grow(&log, 4);
    assert_non_null(strstr(log.disk.log, "mkdir tile/0/000.p\nopen tile/0\nfsync tile/0\n"));
    disk_deinit(&log.disk);
}

/* ---- power cuts and failures ---- */

static void check_cuts(uint64_t old_size, uint64_t size, unsigned every) {
    struct log log;
    log_init(&log);
    grow(&log, old_size);
    disk_cut(&log.disk, 0);
    struct tree_range old_range = log.writer.range;
    for (unsigned call = 1, done = 0; !done; call += every) {
        for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
            struct log again;
            struct error error;
            again.disk = disk_clone(&log.disk);
            again.io = disk_io(&again.disk);
            tile_writer_init(&again.writer, &again.io, HERE, &old_range);
            again.disk.fail_from = call;
            again.disk.fail_to = UINT32_MAX;
            int rc = append_io(&again.writer, size, &error);
            done = rc == 0;
            if (!done) {
                assert_int_equal(rc, -EIO);
                assert_int_equal(again.writer.range.size, old_size);
                assert_int_equal(append_io(&again.writer, size, &error), -EIO);
            }
            disk_cut(&again.disk, done ? 0 : seeds[s] ^ (s > 1 ? call : 0));
            assert_readable(&again.io, HERE, done ? &again.writer.range : &old_range);
            if (!done) {
                tile_writer_init(&again.writer, &again.io, HERE, &old_range);
                grow(&again, size);
                disk_cut(&again.disk, 0);
                assert_readable(&again.io, HERE, &again.writer.range);
            }
            disk_deinit(&again.disk);
        }
    }
    disk_deinit(&log.disk);
}

static void test_a_power_cut_at_any_call_leaves_the_old_tree_and_a_way_on(void **state) {
    (void)state;
    check_cuts(0, 3, 1);
    check_cuts(5, 9, 1);
    check_cuts(250, 260, 1);
    check_cuts(250, 520, 1);
    check_cuts(256, 512, 1);
}

static void test_a_power_cut_where_two_levels_fill_up_is_survived(void **state) {
    (void)state;
    check_cuts(65530, 65540, 19);
}

static void test_a_single_failed_call_is_an_error_and_final(void **state) {
    (void)state;
    struct log log;
    log_init(&log);
    grow(&log, 250);
    for (unsigned call = 1;; call++) {
        struct log again;
        struct error error = {0};
        again.disk = disk_clone(&log.disk);
        again.io = disk_io(&again.disk);
        tile_writer_init(&again.writer, &again.io, HERE, &log.writer.range);
        again.disk.log = calloc(1, DISK_LOG);
        again.disk.fail_from = call;
        again.disk.fail_to = call + 1;
        int rc = append_io(&again.writer, 260, &error);
        bool reached = again.disk.calls >= call;
        /* Only the close after a read may fail without harm. */
        if (reached && rc == 0) {
            const char *line = again.disk.log;
            for (unsigned i = 1; i < call; i++) {
                line = strchr(line, '\n') + 1;
            }
            assert_memory_equal(line, "close tile/", 11);
            assert_non_null(strstr(line, "rename"));
        }
        if (rc != 0) {
            unsigned before = again.disk.calls;
            assert_int_equal(rc, -EIO);
            assert_true(strlen(error.text) > 20);
            assert_int_equal(append_io(&again.writer, 260, &error), -EIO);
            assert_int_equal(again.disk.calls, before);
        }
        disk_deinit(&again.disk);
        if (!reached) {
            break;
        }
    }
    disk_deinit(&log.disk);
}

static void test_the_checkpoint_is_the_old_one_or_the_new_one(void **state) {
    (void)state;
    for (unsigned call = 1; call < 20; call++) {
        for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
            struct disk disk = {0};
            struct tile_io io = disk_io(&disk);
            struct buf out = {0};
            struct error error;
            assert_int_equal(tile_put(&io, HERE, "checkpoint", "old", 3, &error), 0);
            disk.calls = 0;
            disk.fail_from = call;
            disk.fail_to = UINT32_MAX;
            bool whole = tile_put(&io, HERE, "checkpoint", "newer", 5, &error) == 0;
            disk_cut(&disk, seeds[s] ^ (s > 1 ? call : 0));
            assert_int_equal(tile_get(&io, HERE, "checkpoint", 5, &out, &error), 0);
            bool is_new = out.size == 5 && memcmp(out.bytes, "newer", 5) == 0;
            assert_true(is_new || (out.size == 3 && memcmp(out.bytes, "old", 3) == 0));
            assert_true(is_new || !whole);
            buf_deinit(&out);
            disk_deinit(&disk);
        }
    }
}

/* ---- the edge that is read back ---- */

static void damage(struct disk *disk, const char *path, size_t at) {
    int file = disk_find(disk, path);
    assert_true(file >= 0 && at < disk->files[file].now.size);
    disk->files[file].now.bytes[at] ^= 1;
}

static void assert_append_fails(const struct log *log, const char *path, long at, int expected) {
    struct log again;
    struct error error = {0};
    again.disk = disk_clone(&log->disk);
    again.io = disk_io(&again.disk);
    tile_writer_init(&again.writer, &again.io, HERE, &log->writer.range);
    if (at >= 0) {
        damage(&again.disk, path, (size_t)at);
    } else if (at == -1) {
        disk_name(&again.disk, path)->now = DISK_NOTHING;
    } else {
        buf_u8(&again.disk.files[disk_find(&again.disk, path)].now, 0);
    }
    assert_int_equal(append_io(&again.writer, log->writer.range.size + 1, &error), expected);
    assert_true(strlen(error.text) > 20);
    disk_deinit(&again.disk);
}

static void test_refuses_to_build_on_an_edge_that_is_not_the_trees(void **state) {
    (void)state;
    struct log log;
    log_init(&log);
    grow(&log, 256 * 3 + 7);
    for (long i = 0; i < 7; i++) {
        assert_append_fails(&log, "tile/0/003.p/7", 32 * i, PROOF_E_MISMATCH);
    }
    for (long i = 0; i < 3; i++) {
        assert_append_fails(&log, "tile/1/000.p/3", 32 * i + 31, PROOF_E_MISMATCH);
    }
    assert_append_fails(&log, "tile/entries/003.p/7", 2, PROOF_E_MISMATCH);
    assert_append_fails(&log, "tile/entries/003.p/7", 0, PROOF_E_MALFORMED);
    assert_append_fails(&log, "tile/entries/003.p/7", -2, PROOF_E_MALFORMED);
    assert_append_fails(&log, "tile/0/003.p/7", -2, PROOF_E_MALFORMED);
    assert_append_fails(&log, "tile/0/003.p/7", -1, PROOF_E_MISSING);
    assert_append_fails(&log, "tile/1/000.p/3", -1, PROOF_E_MISSING);
    assert_append_fails(&log, "tile/entries/003.p/7", -1, PROOF_E_MISSING);
    disk_deinit(&log.disk);
}

static void test_refuses_a_record_too_long_for_a_bundle(void **state) {
    (void)state;
    struct log log;
    struct error error;
    static const char long_record[TILE_MAX_ENTRY_BYTES + 1] = {0};
    struct slice records[2] = {{"a", 1}, {long_record, sizeof long_record}};
    log_init(&log);
    assert_int_equal(tile_append(&log.writer, records, 2, &error), -EINVAL);
    assert_int_equal(log.disk.calls, 0);
    records[1].size--;
    assert_int_equal(tile_append(&log.writer, records, 2, &error), 0);
    assert_int_equal(size_of(&log.disk, "tile/entries/000.p/2"), 3 + 2 + TILE_MAX_ENTRY_BYTES);
    assert_int_equal(tile_append(&log.writer, records, 0, &error), 0);
    assert_int_equal(log.writer.range.size, 2);
    disk_deinit(&log.disk);
}

/* ---- cleaning and reading ---- */

static void test_partial_tiles_go_when_the_full_one_is_there(void **state) {
    (void)state;
    struct log log;
    log_init(&log);
    grow(&log, 100);
    grow(&log, 250);
    struct tree_range at_250 = log.writer.range;
    grow(&log, 300);
    assert_int_equal(count_files(&log.disk), 2 * 4 + 1);
    tile_clean(&log.io, HERE, 250, 300);
    assert_int_equal(count_files(&log.disk), 2 * 2 + 1);
    assert_int_equal(disk_find(&log.disk, "tile/0/000.p"), DISK_NOTHING);
    assert_int_equal(disk_find(&log.disk, "tile/entries/000.p"), DISK_NOTHING);
    /* The older tree is read from the beginnings of full tiles, by readers and by a writer that starts there.
     */
    assert_readable(&log.io, HERE, &at_250);
    assert_readable(&log.io, HERE, &log.writer.range);
    tile_writer_init(&log.writer, &log.io, HERE, &at_250);
    grow(&log, 600);
    disk_cut(&log.disk, 0);
    assert_readable(&log.io, HERE, &log.writer.range);
    disk_deinit(&log.disk);
}

static void test_the_reader_refuses_tiles_of_another_length_and_places_outside(void **state) {
    (void)state;
    struct log log;
    struct tile_reader *reader = NULL;
    struct tree_proof proof;
    struct tree_hash hash;
    struct buf out = {0};
    struct error error;
    log_init(&log);
    grow(&log, 300);
    assert_int_equal(tile_reader_new(&log.io, HERE, UINT64_MAX, &reader, &error), PROOF_E_RANGE);
    assert_int_equal(tile_reader_new(&log.io, HERE, 300, &reader, &error), 0);
    struct tree_source source = tile_reader_source(reader);
    assert_int_equal(tile_reader_entry(reader, 300, &out, &error), PROOF_E_RANGE);
    assert_int_equal(source.subtree(source.user, 0, 300, &hash, &error), PROOF_E_RANGE);
    assert_int_equal(source.subtree(source.user, 8, 1, &hash, &error), PROOF_E_RANGE);
    assert_int_equal(source.subtree(source.user, 63, 0, &hash, &error), PROOF_E_RANGE);
    assert_int_equal(source.subtree(source.user, 200, 0, &hash, &error), PROOF_E_RANGE);
    buf_u8(&log.disk.files[disk_find(&log.disk, "tile/0/001.p/44")].now, 0);
    assert_int_equal(tree_prove_inclusion(&source, 299, 300, &proof, &error), PROOF_E_MALFORMED);
    assert_non_null(strstr(error.text, "tile/0/001.p/44"));
    log.disk.files[disk_find(&log.disk, "tile/0/001.p/44")].now.size--;
    log.disk.files[disk_find(&log.disk, "tile/0/000")].now.size--;
    assert_int_equal(tree_prove_inclusion(&source, 1, 300, &proof, &error), PROOF_E_MALFORMED);
    buf_append(&log.disk.files[disk_find(&log.disk, "tile/0/000")].now, "xy", 2);
    assert_int_equal(tree_prove_inclusion(&source, 1, 300, &proof, &error), PROOF_E_MALFORMED);
    disk_name(&log.disk, "tile/0/000")->now = DISK_NOTHING;
    assert_int_equal(tree_prove_inclusion(&source, 1, 300, &proof, &error), PROOF_E_MISSING);
    disk_name(&log.disk, "tile/entries/001.p/44")->now = DISK_NOTHING;
    assert_int_equal(tile_reader_entry(reader, 299, &out, &error), PROOF_E_MISSING);
    assert_non_null(strstr(error.text, "tile/entries/001.p/44"));
    damage(&log.disk, "tile/entries/000", 0);
    assert_int_equal(tile_reader_entry(reader, 0, &out, &error), PROOF_E_MALFORMED);
    assert_int_equal(out.size, 0);
    (void)tile_reader_free(reader);
    disk_deinit(&log.disk);
}

static void test_consistency_is_proved_from_tiles(void **state) {
    (void)state;
    struct log log;
    struct tile_reader *reader = NULL;
    struct error error;
    log_init(&log);
    grow(&log, 70000);
    assert_int_equal(tile_reader_new(&log.io, HERE, 70000, &reader, &error), 0);
    struct tree_source source = tile_reader_source(reader);
    struct tree_hash root;
    assert_int_equal(tree_range_root(&log.writer.range, &root), 0);
    for (uint64_t old_size = 1; old_size <= 70000; old_size += old_size / 3 + 1) {
        struct tree_proof proof;
        struct tree_hash old_root;
        assert_int_equal(tree_source_root(&source, old_size, &old_root, &error), 0);
        assert_int_equal(tree_prove_consistency(&source, old_size, 70000, &proof, &error), 0);
        assert_int_equal(
            tree_check_consistency(old_size, &old_root, 70000, &root, proof.hashes, proof.count, &error), 0);
    }
    (void)tile_reader_free(reader);
    disk_deinit(&log.disk);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void test_a_real_directory_holds_the_tree(void **state) {
    (void)state;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    char path[512];
    struct tree_range empty;
    struct tile_writer writer;
    struct buf out = {0};
    struct error error;
    (void)snprintf(path, sizeof path, "%s/buckler-tiles-XXXXXX", base);
    assert_non_null(mkdtemp(path));
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    tree_range_init(&empty);
    tile_writer_init(&writer, &tile_io_kernel, fd, &empty);
    for (uint64_t size = 100; size <= 700; size += 150) {
        uint64_t old_size = writer.range.size;
        assert_int_equal(append_io(&writer, size, &error), 0);
        assert_int_equal(tile_put(&tile_io_kernel, fd, "checkpoint", "signed", 6, &error), 0);
        tile_clean(&tile_io_kernel, fd, old_size, size);
        assert_readable(&tile_io_kernel, fd, &writer.range);
    }
    assert_int_equal(faccessat(fd, "tile/0/000.p", F_OK, 0), -1);
    assert_int_equal(faccessat(fd, "tile/0/002.p/188", F_OK, 0), 0);
    assert_int_equal(faccessat(fd, ".tile.new", F_OK, 0), -1);
    assert_int_equal(tile_get(&tile_io_kernel, fd, "checkpoint", 6, &out, &error), 0);
    assert_int_equal(out.size, 6);
    assert_int_equal(tile_get(&tile_io_kernel, fd, "checkpoint", 5, &out, &error), PROOF_E_MALFORMED);
    assert_int_equal(tile_get(&tile_io_kernel, fd, "nothing", 5, &out, &error), PROOF_E_MISSING);
    /* A link in the place of a file is not followed. */
    assert_int_equal(symlinkat("checkpoint", fd, "link"), 0);
    assert_int_equal(tile_get(&tile_io_kernel, fd, "link", 6, &out, &error), -ELOOP);
    buf_deinit(&out);
    (void)close(fd);
    assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_the_published_ones_both_ways),
        cmocka_unit_test(test_a_tree_of_seventy_thousand_has_the_published_tiles),
        cmocka_unit_test(test_the_writer_makes_exactly_the_tiles_of_the_tree),
        cmocka_unit_test(test_steps_of_any_length_give_the_same_tree),
        cmocka_unit_test(test_calls_come_in_the_order_that_survives_a_power_cut),
        cmocka_unit_test(test_a_directory_is_synced_once_and_then_remembered),
        cmocka_unit_test(test_a_power_cut_at_any_call_leaves_the_old_tree_and_a_way_on),
        cmocka_unit_test(test_a_power_cut_where_two_levels_fill_up_is_survived),
        cmocka_unit_test(test_a_single_failed_call_is_an_error_and_final),
        cmocka_unit_test(test_the_checkpoint_is_the_old_one_or_the_new_one),
        cmocka_unit_test(test_refuses_to_build_on_an_edge_that_is_not_the_trees),
        cmocka_unit_test(test_refuses_a_record_too_long_for_a_bundle),
        cmocka_unit_test(test_partial_tiles_go_when_the_full_one_is_there),
        cmocka_unit_test(test_the_reader_refuses_tiles_of_another_length_and_places_outside),
        cmocka_unit_test(test_consistency_is_proved_from_tiles),
        cmocka_unit_test(test_a_real_directory_holds_the_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
