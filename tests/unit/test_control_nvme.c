/* SPDX-License-Identifier: BSD-3-Clause */

/* Where the event for an NVMe driver goes, and errors: lib/control/nvme_recover.h. Queues are made
 * by a script, as a driver and a controller would, or lie where none can be. */

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "nvme_recover.h"
#include "source.h"
#include "tap.h"
#include "vmm.h"

#define PAGE     4096u
#define PAGES    8u
#define IOVA     UINT64_C(0x7f000000)
#define READONLY (IOVA + PAGES * PAGE) /* a page that the device only reads */
#define SQ       IOVA
#define CQ       (IOVA + 4 * PAGE)

#define AQA(sq, cq) (((cq)-1) << 16 | ((sq)-1))

static struct dma_maps maps;
static struct nvme_watch watch;
static int memory_fd, wake_fd;
static uint8_t *memory; /* as the guest has it */

static void
map(uint64_t iova, uint64_t offset, uint64_t size, uint32_t flags)
{
	const struct vuc_shm_dma_entry entry = {
		.iova = iova, .size = size, .offset = offset, .flags = flags};
	void *addr;

	CU_ASSERT_EQUAL_FATAL(dma_maps_add(&maps, &entry, memory_fd, PAGE, &addr), 0);
}

static void
set_up(void)
{
	const struct dma_maps_opts opts = {.max = 4, .max_bytes = 1 << 20, .budget = 1 << 20};

	CU_ASSERT_EQUAL_FATAL(guard_install(), 0);
	watch = (struct nvme_watch){0};
	memory_fd = memfd_create("guest", MFD_CLOEXEC);
	wake_fd = eventfd(0, EFD_CLOEXEC);
	CU_ASSERT_EQUAL_FATAL(ftruncate(memory_fd, (PAGES + 1) * PAGE), 0);
	memory = mmap(NULL, (PAGES + 1) * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, memory_fd, 0);
	CU_ASSERT_FATAL(memory != MAP_FAILED);
	CU_ASSERT_EQUAL_FATAL(dma_maps_init(&maps, &opts), 0);
	map(IOVA, 0, PAGES * PAGE, VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE);
	map(READONLY, PAGES * PAGE, PAGE, VUC_SHM_DMA_READ);
}

static void
tear_down(void)
{
	dma_maps_fini(&maps);
	munmap(memory, (PAGES + 1) * PAGE);
	close(memory_fd);
	close(wake_fd);
}

/* ---- queues as they are ---- */

struct queues {
	uint32_t sq_size, cq_size;
	uint32_t sq_tail, cq_tail;
	uint32_t phase;
	struct vuc_nvme_queues is;
};

static void
put32(uint64_t iova, uint32_t value)
{
	memcpy(memory + (iova - IOVA), &value, sizeof(value));
}

static void
put_command(struct queues *q, uint32_t opcode, uint32_t cid)
{
	put32(SQ + 64 * q->sq_tail, opcode | cid << 16);
	q->sq_tail = (q->sq_tail + 1) % q->sq_size;
}

static void
put_completion(struct queues *q, uint32_t cid)
{
	uint64_t at = CQ + 16 * q->cq_tail;

	put32(at + 8, q->sq_tail);
	put32(at + 12, cid | q->phase << 16);
	q->cq_tail = (q->cq_tail + 1) % q->cq_size;
	q->phase ^= q->cq_tail == 0;
}

/* "s1 c1" submits command 1, and completes it; "e31" requests an event; "x3(...)" is that thrice;
 * "r" enables the controller anew: its completions are cleared, commands stay. "w" looks for a
 * request. */
static const char *
run_script(struct queues *q, const char *s)
{
	while (*s != '\0' && *s != ')') {
		char step = *s++;
		char *end;
		uint32_t n = (uint32_t)strtoul(s, &end, 10);
		const char *body = end + 1;

		s = end;
		if (step == 's' || step == 'e')
			put_command(q, step == 'e' ? 0x0c : 0x06, n);
		else if (step == 'c')
			put_completion(q, n);
		else if (step == 'r') {
			memset(memory + (CQ - IOVA), 0, q->cq_size * 16);
			q->sq_tail = q->cq_tail = 0;
			q->phase = 1;
			q->is.enables++;
		} else if (step == 'w')
			CU_ASSERT_TRUE(nvme_watch_look(&watch, &q->is, &maps))
		for (; step == 'x' && n > 0; n--)
			s = run_script(q, body) + 1;
		while (*s == ' ')
			s++;
	}
	return s;
}

static const struct {
	const char *name;
	uint32_t sq_size, cq_size;
	const char *script;
	const char *event; /* where it goes, and what it is; NULL: no request is outstanding */
} scripts[] = {
	{"nothing at all", 16, 16, "", NULL},
	{"only other commands", 16, 16, "s1 c1 s2 c2 s3", NULL},
	{"the first command", 16, 16, "e31", "entry 0: id 31, phase 1, head 1"},
	{"the last command", 16, 16, "s1 c1 s2 c2 e31", "entry 2: id 31, phase 1, head 3"},
	{"commands behind it", 16, 16, "s1 c1 e31 s2 c2", "entry 2: id 31, phase 1, head 3"},
	{"id 0, as an empty completion", 16, 16, "e0 s1 c1", "entry 1: id 0, phase 1, head 2"},
	{"the highest id", 16, 16, "e65535 s1 c1", "entry 1: id 65535, phase 1, head 2"},
	{"completed", 16, 16, "e31 c31", NULL},
	{"completed, and others behind it", 16, 16, "e31 s1 c1 c31 s2 c2", NULL},
	{"again", 16, 16, "e31 c31 e31", "entry 1: id 31, phase 1, head 2"},
	{"again, and another one", 16, 16, "e31 c31 e31 s1 c1", "entry 2: id 31, phase 1, head 3"},
	{"another command had its id", 16, 16, "s7 c7 e7 s1 c1", "entry 2: id 7, phase 1, head 3"},
	{"its id twice, neither completed", 16, 16, "e31 e31 s1 c1",
		"entry 1: id 31, phase 1, head 3"},
	{"two, the last one completed", 16, 16, "e30 e31 c31", "entry 1: id 30, phase 1, head 2"},
	{"two, the first one completed", 16, 16, "e30 e31 c30", "entry 1: id 31, phase 1, head 2"},
	{"the completions' first lap is over", 16, 8, "x7(s1 c1) e31 s1 c1",
		"entry 0: id 31, phase 0, head 9"},
	{"in their second lap", 16, 8, "x10(s1 c1) e31 s1 c1", "entry 3: id 31, phase 0, head 12"},
	{"their second lap is over", 32, 8, "x15(s1 c1) e31 s1 c1",
		"entry 0: id 31, phase 1, head 17"},
	{"the commands' first lap is over", 8, 16, "x7(s1 c1) e31 s1 c1",
		"entry 8: id 31, phase 1, head 1"},
	{"at the end of their queue", 8, 16, "x6(s1 c1) e31 s1 c1",
		"entry 7: id 31, phase 1, head 0"},
	{"overwritten by other commands", 8, 16, "e31 x8(s1 c1)", NULL},
	{"almost overwritten", 8, 16, "e31 x7(s1 c1)", "entry 7: id 31, phase 1, head 1"},
	{"old completions of its id, more than commands", 4, 64, "s31 c31 x5(s1 c1) e31 s2 c2",
		"entry 7: id 31, phase 1, head 0"},
	{"the smallest queues", 2, 2, "s1 c1 e31 c31 e31", "entry 0: id 31, phase 0, head 1"},
	{"the largest ones", 256, 1024, "x1500(s1 c1) e31 s1 c1",
		"entry 477: id 31, phase 0, head 222"},
	{"all completions unread", 16, 8, "e31 x7(s1 c1)", "entry 7: id 31, phase 1, head 8"},
	{"overwritten, and seen before", 8, 16, "e31 w x8(s1 c1)",
		"entry 8: id 31, phase 1, head 1"},
	{"seen before, and completed", 8, 16, "e31 w c31 x8(s1 c1)", NULL},
	{"seen before, and the controller enabled anew", 8, 16, "e31 w x8(s1 c1) r s1 c1", NULL},
	{"enabled anew, and requested anew", 16, 16, "s1 c1 e31 s2 c2 r s1 c1 s2 c2 e31 s3 c3",
		"entry 3: id 31, phase 1, head 4"},
};

static void
describe(char *text, size_t size, const struct nvme_event *event)
{
	const uint8_t *cq = dma_maps_find(&maps, CQ, 16, true);

	CU_ASSERT_EQUAL(event->words[0], 0x00010300);
	CU_ASSERT_EQUAL(event->words[1], 0);
	CU_ASSERT_EQUAL(event->words[2] >> 16, 0);
	CU_ASSERT_EQUAL(event->words[3] >> 17, 0);
	snprintf(text, size, "entry %td: id %u, phase %u, head %u", (event->entry - cq) / 16,
		event->words[3] & 0xffff, event->words[3] >> 16, event->words[2]);
}

/* That many bytes, and the others as they were. */
static void
expect_written(const uint8_t *before, const struct nvme_event *event)
{
	size_t at = (size_t)(event->entry - dma_maps_find(&maps, IOVA, 1, true));

	nvme_event_write(event);
	CU_ASSERT_EQUAL(memcmp(memory + at, event->words, sizeof(event->words)), 0);
	CU_ASSERT_EQUAL(memcmp(memory, before, at), 0);
	CU_ASSERT_EQUAL(memcmp(memory + at + 16, before + at + 16, PAGES * PAGE - at - 16), 0);
}

static void
test_scripts(void)
{
	static uint8_t before[PAGES * PAGE];

	for (unsigned int i = 0; i < NR(scripts); i++) {
		uint32_t sq_size = scripts[i].sq_size, cq_size = scripts[i].cq_size;
		struct queues q = {
			.sq_size = sq_size,
			.cq_size = cq_size,
			.phase = 1,
			.is = {SQ, CQ, AQA(sq_size, cq_size), 1, false},
		};
		struct vuc_error why = {0};
		struct nvme_event event;
		char text[64] = "";
		int rc;

		vuc_tap_row("%s", scripts[i].name);
		memset(memory, 0, PAGES * PAGE);
		watch = (struct nvme_watch){.enables = 1};
		run_script(&q, scripts[i].script);
		memcpy(before, memory, PAGES * PAGE);
		rc = nvme_event_find(&event, &q.is, &maps, &watch, &why);
		CU_ASSERT_EQUAL(memcmp(memory, before, PAGES * PAGE), 0);
		CU_ASSERT_EQUAL(rc, scripts[i].event != NULL ? 0 : -ENOENT);
		if (rc != 0)
			continue;
		describe(text, sizeof(text), &event);
		CU_ASSERT_PTR_NOT_NULL_FATAL(scripts[i].event);
		CU_ASSERT(tap_text_is(text, scripts[i].event));
		expect_written(before, &event);
	}
}

/* ---- commands of a driver that was sent the event ---- */

#define MAX_ERRORS 4u

static const struct {
	const char *name;
	uint32_t sq_size, cq_size;
	const char *script;
	const char *errors; /* id@entry:phase>head of each */
} rest[] = {
	{"none", 16, 16, "e31", ""},
	{"none, and completed ones", 16, 16, "s1 c1 e31 s2 c2", ""},
	{"one", 16, 16, "s1 c1 e31 s5", "5@2:1>3 "},
	{"some, and completed ones", 16, 16, "e31 s1 c1 s2 s3", "2@2:1>3 3@3:1>4 "},
	{"as many as are completed at once", 16, 16, "e31 s1 s2 s3 s4",
		"1@1:1>2 2@2:1>3 3@3:1>4 4@4:1>5 "},
	{"more", 16, 16, "e31 s1 s2 s3 s4 s65535", "1@1:1>2 2@2:1>3 3@3:1>4 4@4:1>5 65535@5:1>6 "},
	{"another event request among them", 16, 16, "e31 s1 c1 s2 e30 s3", "2@2:1>3 3@3:1>5 "},
	{"another event request behind them", 16, 16, "e31 s1 c1 s2 e30", "2@2:1>3 "},
	{"across the ends of both queues", 4, 4, "s1 c1 s2 c2 e31 s3 s4", "3@3:1>0 4@0:0>1 "},
	{"more than completions fit", 16, 3, "e31 s1 c1 s2 s3 s4 s5",
		"2@2:1>3 3@0:0>4 4@1:0>5 5@2:0>6 "},
};

static void
write_errors(const struct queues *q, char *text, size_t size)
{
	const uint8_t *cq = dma_maps_find(&maps, CQ, 16, true);
	struct nvme_event errors[MAX_ERRORS];
	unsigned int n = nvme_errors_find(errors, MAX_ERRORS, &q->is, &maps);

	CU_ASSERT(n <= MAX_ERRORS && n < q->cq_size);
	for (unsigned int i = 0; i < n; i++) {
		const uint32_t *words = errors[i].words;

		CU_ASSERT_EQUAL(words[0] | words[1] | words[2] >> 16, 0);
		CU_ASSERT_EQUAL(words[3] >> 17, 6);
		snprintf(text + strlen(text), size - strlen(text), "%u@%td:%u>%u ",
			words[3] & 0xffff, (errors[i].entry - cq) / 16, words[3] >> 16 & 1,
			words[2]);
		nvme_event_write(&errors[i]);
	}
}

static void
test_rest(void)
{
	for (unsigned int i = 0; i < NR(rest); i++) {
		uint32_t sq_size = rest[i].sq_size, cq_size = rest[i].cq_size;
		struct queues q = {
			.sq_size = sq_size,
			.cq_size = cq_size,
			.phase = 1,
			.is = {.asq = SQ, .acq = CQ, .aqa = AQA(sq_size, cq_size)},
		};
		struct vuc_error why;
		struct nvme_event event;
		char text[128] = "";

		vuc_tap_row("%s", rest[i].name);
		memset(memory, 0, PAGES * PAGE);
		run_script(&q, rest[i].script);
		CU_ASSERT_EQUAL(nvme_event_find(&event, &q.is, &maps, &watch, &why), 0);
		nvme_event_write(&event);
		q.is.tail = sq_size;
		write_errors(&q, text, sizeof(text));
		CU_ASSERT_STRING_EQUAL(text, "");
		q.is.tail = q.sq_tail;
		for (unsigned int n = 0; n < 3; n++)
			write_errors(&q, text, sizeof(text));
		CU_ASSERT(tap_text_is(text, rest[i].errors));
	}
}

/* ---- what a hostile driver may have written ---- */

static const struct {
	const char *name;
	struct vuc_nvme_queues queues;
	int status;
	const char *why;
} places[] = {
	{"all zero", {0}, -EINVAL, "1 entries at 0x0 are not an admin submission queue"},
	{"one command", {SQ, CQ, AQA(1, 16), 0, false}, -EINVAL,
		"1 entries at 0x7f000000 are not an admin submission queue"},
	{"one completion", {SQ, CQ, AQA(16, 1), 0, false}, -EINVAL,
		"1 entries at 0x7f004000 are not an admin completion queue"},
	{"commands in the middle of a page", {SQ + 64, CQ, AQA(16, 16), 0, false}, -EINVAL,
		"16 entries at 0x7f000040 are not an admin submission queue"},
	{"completions at an odd address", {SQ, CQ + 1, AQA(16, 16), 0, false}, -EINVAL,
		"16 entries at 0x7f004001 are not an admin completion queue"},
	{"commands where nothing is mapped", {SQ - PAGE, CQ, AQA(16, 16), 0, false}, -EFAULT,
		"no memory is mapped for the admin submission queue at 0x7efff000"},
	{"completions where nothing is mapped", {SQ, READONLY + PAGE, AQA(16, 16), 0, false},
		-EFAULT, "no memory is mapped for the admin completion queue at 0x7f009000"},
	{"completions that cannot be written", {SQ, READONLY, AQA(16, 16), 0, false}, -EFAULT,
		"no memory is mapped for the admin completion queue at 0x7f008000"},
	{"commands to the end of the mapping",
		{IOVA + (PAGES - 1) * PAGE, CQ, AQA(64, 16), 0, false}, -ENOENT,
		"no asynchronous event request is outstanding"},
	{"commands across the end", {IOVA + (PAGES - 1) * PAGE, CQ, AQA(65, 16), 0, false}, -EFAULT,
		"no memory is mapped for the admin submission queue at 0x7f007000"},
	{"completions across the end", {SQ, IOVA + (PAGES - 1) * PAGE, AQA(16, 257), 0, false},
		-EFAULT, "no memory is mapped for the admin completion queue at 0x7f007000"},
	{"the largest queue", {SQ, CQ, AQA(4096, 4096), 0, false}, -EFAULT,
		"no memory is mapped for the admin submission queue at 0x7f000000"},
	{"at the end of all addresses", {UINT64_MAX - 4095, CQ, AQA(64, 16), 0, false}, -EFAULT,
		"no memory is mapped for the admin submission queue at 0xfffffffffffff000"},
	{"beyond it", {UINT64_MAX - 4095, UINT64_MAX - 4095, AQA(4096, 4096), 0, false}, -EFAULT,
		"no memory is mapped for the admin submission queue at 0xfffffffffffff000"},
	{"one queue in the other", {CQ, CQ, AQA(16, 16), 0, false}, -ENOENT,
		"no asynchronous event request is outstanding"},
};

static void
expect_refusal(const struct vuc_nvme_queues *queues, int status, const char *text)
{
	struct vuc_error why = {0};
	struct nvme_event event;

	CU_ASSERT_EQUAL(nvme_event_find(&event, queues, &maps, &watch, &why), status);
	CU_ASSERT(tap_text_is(why.text, text));
}

static void
test_places(void)
{
	for (unsigned int i = 0; i < NR(places); i++) {
		vuc_tap_row("%s", places[i].name);
		expect_refusal(&places[i].queues, places[i].status, places[i].why);
	}
}

static void
test_contents(void)
{
	const struct vuc_nvme_queues queues = {SQ, CQ, AQA(16, 16), 0, false};

	put32(SQ, 0x0c);
	put32(CQ + 3 * 16 + 12, 1 << 16);
	expect_refusal(
		&queues, -EINVAL, "the phase tags of the admin completion queue are inconsistent");
	put32(CQ + 3 * 16 + 12, 0);
	put32(CQ + 12, 1 << 16);
	put32(CQ + 8, 16);
	expect_refusal(&queues, -EINVAL,
		"the last admin completion is of entry 16 of 16 in the submission queue");
}

/* With DMA by message there are the same mappings; with none, as beyond the limits, nothing is
 * touched; and one that is about to leave is none. */
static void
test_mappings(void)
{
	const struct vuc_nvme_queues queues = {SQ, CQ, AQA(16, 16), 0, false};
	struct vuc_error why = {0};
	struct nvme_event event;

	put32(SQ, 0x0c);
	CU_ASSERT_EQUAL(nvme_event_find(&event, &queues, &maps, &watch, &why), 0);
	dma_maps_leave(&maps, maps.nr, IOVA, PAGE);
	expect_refusal(&queues, -EFAULT,
		"no memory is mapped for the admin submission queue at 0x7f000000");
	dma_maps_sweep(&maps);
	expect_refusal(&queues, -EFAULT,
		"no memory is mapped for the admin submission queue at 0x7f000000");
	/* Queues may be apart, and a mapping begin anywhere in its file. */
	map(SQ, 64, 1024, VUC_SHM_DMA_READ);
	map(CQ, 5 * PAGE + 256, 256, VUC_SHM_DMA_READ | VUC_SHM_DMA_WRITE);
	put32(SQ + 64, 0x0c | 9 << 16);
	CU_ASSERT_EQUAL_FATAL(nvme_event_find(&event, &queues, &maps, &watch, &why), 0);
	nvme_event_write(&event);
	CU_ASSERT_EQUAL(memcmp(memory + 5 * PAGE + 256, event.words, 16), 0);
	CU_ASSERT_EQUAL(event.words[3], 1u << 16 | 9);
	expect_refusal(&(struct vuc_nvme_queues){SQ, CQ, AQA(17, 16), 0, false}, -EFAULT,
		"no memory is mapped for the admin submission queue at 0x7f000000");
	/* One that looks for the whole pages finds those of another file offset. */
	expect_refusal(&(struct vuc_nvme_queues){SQ, CQ, AQA(16, 17), 0, false}, -EFAULT,
		"no memory is mapped for the admin completion queue at 0x7f004000");
}

/* Its VMM is to be blamed, and nobody else hurt. */
static void
test_shrunk(void)
{
	const struct vuc_nvme_queues queues = {SQ, CQ, AQA(16, 16), 0, false};
	struct vuc_error why = {0};
	struct nvme_event event;

	put32(SQ, 0x0c);
	CU_ASSERT_EQUAL_FATAL(nvme_event_find(&event, &queues, &maps, &watch, &why), 0);
	CU_ASSERT_PTR_NULL(dma_maps_problem(&maps));
	CU_ASSERT_EQUAL_FATAL(ftruncate(memory_fd, 0), 0);
	nvme_event_write(&event);
	CU_ASSERT_PTR_NOT_NULL(dma_maps_problem(&maps));
	expect_refusal(&queues, -ENOENT, "no asynchronous event request is outstanding");
}

static void
test_random(void)
{
	const uint8_t *base = dma_maps_find(&maps, IOVA, PAGES * PAGE, true);
	unsigned int found = 0, rests = 0;

	CU_ASSERT_PTR_NOT_NULL_FATAL(base);
	srandom(1);
	for (unsigned int round = 0; round < 20000; round++) {
		uint32_t r = (uint32_t)random();
		const struct vuc_nvme_queues queues = {
			.asq = IOVA + (r % (PAGES + 2)) * PAGE,
			.acq = IOVA + (r / 16 % (PAGES + 2)) * PAGE,
			.aqa = (r >> 8 & 15) << 16 | (r >> 12 & 15),
			.tail = r >> 16 & 31,
		};
		struct vuc_error why = {0};
		struct nvme_event event, errors[MAX_ERRORS];
		unsigned int nr;

		for (unsigned int i = 0; i < 16; i++)
			put32(IOVA + (uint32_t)random() % (PAGES * PAGE / 4) * 4,
				(uint32_t)random() & 0x0003000f);
		if (round % 64 == 0)
			memset(memory, 0, PAGES * PAGE);
		nr = nvme_errors_find(errors, MAX_ERRORS, &queues, &maps);
		CU_ASSERT_FATAL(nr <= MAX_ERRORS);
		for (unsigned int i = 0; i < nr; i++) {
			CU_ASSERT_FATAL(errors[i].entry >= base &&
				errors[i].entry + 16 <= base + PAGES * PAGE);
			nvme_event_write(&errors[i]);
		}
		rests += nr;
		if (nvme_event_find(&event, &queues, &maps, &watch, &why) != 0)
			continue;
		found++;
		CU_ASSERT_FATAL(event.entry >= base && event.entry + 16 <= base + PAGES * PAGE);
		CU_ASSERT_EQUAL((event.entry - base) % 16, 0);
		nvme_event_write(&event);
	}
	printf("# %u events, %u errors\n", found, rests);
	CU_ASSERT(found > 0 && rests > 0);
}

/* ---- when it is looked at ---- */

/* The device as the poller has it. */
static struct vuc_nvme_queues device_queues;
static bool device_enabled;
static uint32_t device_enables;
static unsigned int calls;

int
vmm_call(struct control_vmm *v, control_device_fn fn, void *arg, struct vuc_error *err)
{
	(void)err;
	calls++;
	return fn(v->link->dev, arg);
}

bool
vuc_device_nvme_queues(const struct vuc_device *dev, struct vuc_nvme_queues *queues)
{
	(void)dev;
	*queues = device_queues;
	queues->enables = device_enables;
	return device_enabled;
}

uint32_t
vuc_device_nvme_enables(const struct vuc_device *dev)
{
	(void)dev;
	return device_enables;
}

bool
vuc_device_connected(const struct vuc_device *dev)
{
	(void)dev;
	return true;
}

void
vmm_log(struct control_vmm *v, enum vuc_log_level level, const char *fmt, ...)
{
	(void)v;
	(void)level;
	(void)fmt;
}

void
vmm_signal_interrupts(struct control_vmm *v)
{
	(void)v;
}

int
vmm_find_areas(
	struct control_vmm *v, uint32_t index, struct vmm_areas *areas, struct vuc_error *err)
{
	(void)v;
	(void)index;
	(void)areas;
	(void)err;
	return -ENOENT;
}

void
vmm_drop_areas(struct control_vmm *v, struct vmm_areas *areas)
{
	(void)v;
	(void)areas;
}

bool
vuc_dma_holds(const struct vuc_device *dev, uint64_t iova, const void *addr)
{
	(void)dev;
	(void)iova;
	(void)addr;
	return true;
}

/* Watch until there is nothing to wait for: returns for how long, from now_ms on. */
static uint64_t
watch_all(struct control_vmm *v, uint64_t now_ms)
{
	const uint64_t begin_ms = now_ms;

	vmm_watch_nvme(v, now_ms);
	while (v->nvme.due_ms != 0) {
		CU_ASSERT_TRUE_FATAL(v->nvme.due_ms > now_ms);
		CU_ASSERT_TRUE_FATAL(now_ms - begin_ms < 3600000);
		now_ms = v->nvme.due_ms;
		vmm_watch_nvme(v, now_ms);
	}
	return now_ms - begin_ms;
}

/* Nothing is due while there is nothing to wait for. */
static void
test_watch(void)
{
	struct control_link link = {0};
	struct control_vmm v = {.link = &link};
	struct queues q = {
		.sq_size = 16,
		.cq_size = 16,
		.phase = 1,
		.is = {.asq = SQ, .acq = CQ, .aqa = AQA(16, 16)},
	};

	calls = 0;
	v.maps = maps;
	device_enables = 0;
	CU_ASSERT_EQUAL(watch_all(&v, 1000), 0);
	CU_ASSERT_EQUAL(calls, 0);
	/* It is an NVMe controller, but not enabled. */
	device_enables = 1;
	device_enabled = false;
	CU_ASSERT_EQUAL(watch_all(&v, 1000), 0);
	CU_ASSERT_EQUAL(calls, 1);
	CU_ASSERT_EQUAL(watch_all(&v, 2000), 0);
	CU_ASSERT_EQUAL(calls, 1);
	/* Its driver requests no events. */
	device_queues = q.is;
	device_enabled = true;
	device_enables = 2;
	CU_ASSERT_EQUAL(watch_all(&v, 1000), 19 * 500);
	CU_ASSERT_EQUAL(calls, 21);
	/* It does, later. */
	device_enables = 3;
	vmm_watch_nvme(&v, 1000);
	CU_ASSERT_EQUAL(v.nvme.due_ms, 1500);
	run_script(&q, "e31");
	vmm_watch_nvme(&v, 1499);
	CU_ASSERT_EQUAL(v.nvme.due_ms, 1500);
	CU_ASSERT_EQUAL(watch_all(&v, 1500), 0);
	CU_ASSERT_TRUE(v.nvme.known);
	CU_ASSERT_EQUAL(watch_all(&v, 1500), 0);
	CU_ASSERT_EQUAL(calls, 23);
	/* After a return its other commands are looked at, for a minute or until it writes CC. */
	device_queues.failed = true;
	vmm_recover_nvme(&v);
	CU_ASSERT_TRUE(v.nvme.due_ms > 0);
	CU_ASSERT_EQUAL(watch_all(&v, v.nvme.due_ms), 1199 * 50);
	vmm_recover_nvme(&v);
	device_queues.failed = false;
	CU_ASSERT_EQUAL(watch_all(&v, v.nvme.due_ms), 0);
}

const struct tap_suite tap_suite = {"control_nvme", set_up, tear_down,
	{
		{"queues of a driver and its controller", test_scripts},
		{"commands of a driver that was sent the event", test_rest},
		{"queues where none can be", test_places},
		{"queues that are none", test_contents},
		{"mappings that come and go", test_mappings},
		{"memory that loses its pages", test_shrunk},
		{"anything at all", test_random},
		{"nobody watches for nothing", test_watch},
	}};
