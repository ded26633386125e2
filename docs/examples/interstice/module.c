/* The module that plugpull runs in a published Interstice node (`plugpull run interstice`).
 *
 *   clang --target=wasm32 -nostdlib -O2 -Wall -Wextra -Werror -Wl,--no-entry \
 *       -o module.wasm module.c
 *
 * (clang with wasm-ld, which Debian has in the package lld). It needs no headers and no library.
 *
 * It was written against the ABI of interstice-abi 0.5.0 (ABI_VERSION 6): what the host asks of a
 * module is in interstice-core, src/runtime/wasm, and what is handed over is encoded by postcard:
 * numbers as LEB128, lengths and the number of an enum's variant as such numbers.
 *
 * Tables, all public, with a string as primary key:
 *   rows, heads   a string; logged. Two of them, so that a call changes more than one file.
 *   acks          a u64; ephemeral: the number of the last call that a caller had applied. It changes
 *                 no file, and its event is what a caller knows by that a call was applied.
 *
 * Reducer apply(caller: String, number: u64, abort: bool,
 *               writes: Vec<(table: String, key: String, value: Option<String>)>)
 *   puts the rows with a value and deletes those without, and notes the number in acks, as the last
 *   thing it does. All of it is one transaction of the node. It traps, which rolls it back, at what
 *   the host refuses, and at its end when abort is set. Keys of one call must be distinct: the host
 *   looks keys up in the tables as they were before the call.
 *
 * Query get(table: String, key: String) -> String, or void where there is no such row.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#define IMPORT(name) __attribute__((import_module("interstice"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(interstice_insert_row)
int insert_row(const u8 *table, u32 table_len, const u8 *row, u32 row_len, u8 *to, u32 capacity);
IMPORT(interstice_update_row)
int update_row(const u8 *table, u32 table_len, const u8 *row, u32 row_len);
IMPORT(interstice_delete_row)
int delete_row(const u8 *table, u32 table_len, const u8 *key, u32 key_len);
IMPORT(interstice_get_by_pk)
int get_by_pk(const u8 *table, u32 table_len, const u8 *key, u32 key_len, u8 *to, u32 capacity);

/* ---- memory: taken from the end of what there is, and never given back. The host asks for one
 * buffer an instance, and for a greater one, of twice the size, where arguments do not fit. ---- */

#define PAGE 65536u

extern u8 __heap_base;
static u32 top;

EXPORT(alloc) u8 *alloc(u32 length) {
    if (top == 0)
        top = ((u32)&__heap_base + 15) & ~15u;
    u32 at = top, end = at + ((length + 15) & ~15u);
    u32 have = (u32)__builtin_wasm_memory_size(0) * PAGE;
    if (end < at)
        __builtin_trap();
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + PAGE - 1) / PAGE) == (unsigned long)-1)
        __builtin_trap();
    top = end;
    return (u8 *)at;
}

EXPORT(dealloc) void dealloc(u8 *at, u32 length) {
    (void)at;
    (void)length;
}

/* A buffer that grows. */
struct buffer {
    u8 *bytes;
    u32 length, capacity;
};

static void reserve(struct buffer *buffer, u32 capacity) {
    if (capacity <= buffer->capacity)
        return;
    u32 more = 2 * buffer->capacity + 256;
    if (more < capacity)
        more = capacity;
    u8 *bytes = alloc(more);
    for (u32 i = 0; i < buffer->length; i++)
        bytes[i] = buffer->bytes[i];
    buffer->bytes = bytes;
    buffer->capacity = more;
}

/* ---- writing ---- */

static void byte(struct buffer *to, u8 value) {
    reserve(to, to->length + 1);
    to->bytes[to->length++] = value;
}

static void number(struct buffer *to, u64 value) {
    for (; value > 0x7f; value >>= 7)
        byte(to, (u8)value | 0x80);
    byte(to, (u8)value);
}

struct text {
    const u8 *bytes;
    u32 length;
};

static void text(struct buffer *to, struct text from) {
    number(to, from.length);
    reserve(to, to->length + from.length);
    for (u32 i = 0; i < from.length; i++)
        to->bytes[to->length++] = from.bytes[i];
}

static struct text word(const char *from) {
    u32 length = 0;
    while (from[length])
        length++;
    return (struct text){(const u8 *)from, length};
}

static void name(struct buffer *to, const char *from) { text(to, word(from)); }

/* ---- reading ---- */

struct reader {
    const u8 *at, *end;
};

static u8 take(struct reader *from) {
    if (from->at == from->end)
        __builtin_trap();
    return *from->at++;
}

static u64 take_number(struct reader *from) {
    u64 value = 0;
    for (u32 shift = 0; shift < 64; shift += 7) {
        u8 next = take(from);
        value |= (u64)(next & 0x7f) << shift;
        if (next < 0x80)
            return value;
    }
    __builtin_trap();
}

static struct text take_text(struct reader *from) {
    u64 length = take_number(from);
    if (length > (u64)(from->end - from->at))
        __builtin_trap();
    struct text text = {from->at, (u32)length};
    from->at += length;
    return text;
}

static void expect(struct reader *from, u64 wanted) {
    if (take_number(from) != wanted)
        __builtin_trap();
}

/* The kinds of IntersticeValue, IntersticeType and IndexKey that are used. */
enum { VOID = 0, U64 = 3, BOOL = 8, STRING = 9, VEC = 10, OPTION = 11, TUPLE = 12 };
enum { KEY_STRING = 6 };

static struct text take_string(struct reader *from) {
    expect(from, STRING);
    return take_text(from);
}

/* ---- the schema ---- */

enum { PUBLIC = 0, LOGGED = 0, EPHEMERAL = 2, CURRENT = 0 };
#define ABI_VERSION 6

static const char *const TABLES[] = {"rows", "heads", "acks"};
#define TABLE_COUNT 3
/* The first two of them are for the caller's rows. */
#define ROW_TABLES 2

static void field(struct buffer *to, const char *field_name, u8 type) {
    name(to, field_name);
    byte(to, type);
}

static void table(struct buffer *to, const char *table_name, const char *type_name, u8 type,
                  u8 persistence) {
    name(to, table_name);
    name(to, type_name);
    byte(to, PUBLIC);
    number(to, 1);
    field(to, "value", type);
    field(to, "key", STRING);
    byte(to, 0); /* the primary key is not counted up */
    number(to, 0); /* indexes */
    byte(to, persistence);
}

/* The tables that a reducer or a query may touch in some way. */
static void access(struct buffer *to, u32 count) {
    number(to, count);
    for (u32 i = 0; i < count; i++) {
        byte(to, CURRENT); /* this node */
        byte(to, CURRENT); /* this module */
        name(to, TABLES[i]);
    }
}

EXPORT(interstice_describe) u64 describe(void) {
    static struct buffer schema;
    struct buffer *to = &schema;
    to->length = 0;
    number(to, ABI_VERSION);
    name(to, "plugpull");
    number(to, 1); /* version 1.0.0 */
    number(to, 0);
    number(to, 0);
    byte(to, PUBLIC);

    number(to, 1); /* reducers */
    name(to, "apply");
    number(to, 4);
    field(to, "caller", STRING);
    field(to, "number", U64);
    field(to, "abort", BOOL);
    field(to, "writes", VEC);
    byte(to, TUPLE);
    number(to, 3);
    byte(to, STRING);
    byte(to, STRING);
    byte(to, OPTION);
    byte(to, STRING);
    access(to, TABLE_COUNT); /* reads */
    access(to, TABLE_COUNT); /* inserts */
    access(to, TABLE_COUNT); /* updates */
    access(to, ROW_TABLES);  /* deletes */

    number(to, 1); /* queries */
    name(to, "get");
    number(to, 2);
    field(to, "table", STRING);
    field(to, "key", STRING);
    byte(to, STRING);
    access(to, ROW_TABLES);

    number(to, TABLE_COUNT);
    table(to, TABLES[0], "Text", STRING, LOGGED);
    table(to, TABLES[1], "Text", STRING, LOGGED);
    table(to, TABLES[2], "Number", U64, EPHEMERAL);

    number(to, 0); /* subscriptions */
    number(to, 0); /* type definitions */
    number(to, 0); /* authorities */
    number(to, 0); /* modules that it depends on */
    number(to, 0); /* nodes that it depends on */
    number(to, 0); /* replicated tables */
    return (u64)(u32)to->bytes << 32 | to->length;
}

/* ---- rows ---- */

/* What the host answered, valid until the next look. */
static struct buffer found;

/* Looks a row up: Result::Ok(Option<Row>) as the host encodes it. Returns whether it is there, and
 * leaves `row` at it. */
static int look(struct text table, struct text key, struct reader *row) {
    static struct buffer wanted;
    wanted.length = 0;
    byte(&wanted, KEY_STRING);
    text(&wanted, key);
    reserve(&found, 256);
    int length;
    while ((length = get_by_pk(table.bytes, table.length, wanted.bytes, wanted.length, found.bytes,
                               found.capacity)) < -1)
        reserve(&found, (u32)-length);
    if (length < 0)
        __builtin_trap();
    *row = (struct reader){found.bytes, found.bytes + length};
    expect(row, 0); /* Ok */
    return take(row) == 1;
}

/* Inserts or updates a row, which begins with its key. */
static void put(struct text table, struct text key, const struct buffer *row) {
    struct reader old;
    u8 answer[64];
    /* An insert is answered Ok(None): two zeros. */
    int done = look(table, key, &old)
                   ? update_row(table.bytes, table.length, row->bytes, row->length) == 0
                   : insert_row(table.bytes, table.length, row->bytes, row->length, answer,
                                sizeof answer) == 2 &&
                         answer[0] == 0;
    if (!done)
        __builtin_trap();
}

static void remove(struct text table, struct text key) {
    static struct buffer wanted;
    struct reader old;
    if (!look(table, key, &old))
        return;
    wanted.length = 0;
    byte(&wanted, KEY_STRING);
    text(&wanted, key);
    if (delete_row(table.bytes, table.length, wanted.bytes, wanted.length) != 0)
        __builtin_trap();
}

/* Begins a row of one field. */
static void begin(struct buffer *row, struct text key) {
    row->length = 0;
    byte(row, STRING);
    text(row, key);
    number(row, 1);
}

EXPORT(__interstice_reducer_wrapper_apply) void apply(const u8 *args, u32 length) {
    static struct buffer row;
    struct reader from = {args, args + length};
    take_text(&from); /* the context: the calling node */
    expect(&from, VEC);
    expect(&from, 4);
    struct text caller = take_string(&from);
    expect(&from, U64);
    u64 call = take_number(&from);
    expect(&from, BOOL);
    u8 abort = take(&from);
    expect(&from, VEC);
    for (u64 left = take_number(&from); left > 0; left--) {
        expect(&from, TUPLE);
        expect(&from, 3);
        struct text table = take_string(&from);
        struct text key = take_string(&from);
        expect(&from, OPTION);
        if (take(&from) == 0) {
            remove(table, key);
        } else {
            begin(&row, key);
            byte(&row, STRING);
            text(&row, take_string(&from));
            put(table, key, &row);
        }
    }
    begin(&row, caller);
    byte(&row, U64);
    number(&row, call);
    put(word("acks"), caller, &row);
    if (abort)
        __builtin_trap();
}

EXPORT(__interstice_query_wrapper_get) u64 get(const u8 *args, u32 length) {
    static struct buffer answer;
    struct reader from = {args, args + length}, row;
    take_text(&from); /* the context */
    expect(&from, VEC);
    expect(&from, 2);
    struct text table = take_string(&from);
    struct text key = take_string(&from);
    answer.length = 0;
    if (look(table, key, &row)) {
        take_string(&row);
        expect(&row, 1);
        byte(&answer, STRING);
        text(&answer, take_string(&row));
    } else {
        byte(&answer, VOID);
    }
    return (u64)(u32)answer.bytes << 32 | answer.length;
}
