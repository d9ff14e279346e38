/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* Zeroed, and from the beginning of a cache line on. */
static void *
alloc_lines(size_t size)
{
	void *lines = NULL;

	if (posix_memalign(&lines, CACHE_LINE, size) != 0)
		return NULL;
	return memset(lines, 0, size);
}

static int
alloc_tables(struct vuc_session *s)
{
	unsigned int n = s->config.max_requests;

	s->slots = alloc_lines(n * sizeof(*s->slots));
	s->rests = calloc(n, sizeof(*s->rests));
	s->tx.buf = malloc(TX_BUFFER_SIZE);
	s->peer_json = strdup("");
	if (s->slots == NULL || s->rests == NULL || s->tx.buf == NULL || s->peer_json == NULL)
		return -ENOMEM;

	for (unsigned int i = 0; i < n; i++) {
		s->slots[i].id = (uint16_t)i;
		s->slots[i].next_free = (uint16_t)(i + 1);
	}
	s->slots[n - 1].next_free = NO_SLOT;
	s->index_mask = (uint16_t)(n - 1);
	return 0;
}

struct vuc_session *
vuc_session_create(const struct vuc_session_config *config)
{
	struct vuc_session *s = alloc_lines(sizeof(*s));

	if (s == NULL)
		return NULL;
	s->config = *config;
	vuc_session_set_trace(s, config->trace, config->trace_arg);
	if (s->config.faults == NULL)
		s->config.faults = &s->own_faults;
	s->awaits_posted = s->config.faults->answers_posted;
	/* A message that never fits must be refused, not put off. */
	s->tx.segment_max = config->segment_max;
	if (s->tx.segment_max > TX_BUFFER_SIZE - KEPT_BYTES)
		s->tx.segment_max = TX_BUFFER_SIZE - KEPT_BYTES;
	s->view.max_data = config->version.max_data_xfer_size;
	s->view.watches_fds = true;
	s->twin_fd = -1;
	vuc_wire_version_init(&s->peer);
	if (alloc_tables(s) != 0 || (!config->twin && session_negotiate(s) != 0)) {
		vuc_session_destroy(s);
		return NULL;
	}
	if (config->twin)
		s->view.state = VUC_SESSION_READY;
	return s;
}

void
vuc_session_destroy(struct vuc_session *s)
{
	if (s == NULL)
		return;
	session_drop_segments(s);
	session_drop_fds(s, s->part_fds, s->nr_part_fds);
	session_drop_fds(s, &s->twin_fd, 1);
	free(s->view.part);
	free(s->tx.buf);
	free(s->slots);
	free(s->rests);
	free(s->peer_json);
	free(s);
}

void
vuc_session_set_owner(struct vuc_session *s, const struct vuc_session_owner *owner)
{
	s->config.command_arg = owner->command_arg;
	s->config.warn_arg = owner->warn_arg;
	s->config.faults = owner->faults;
	s->config.closer = owner->closer;
}

void
vuc_session_set_trace(struct vuc_session *s, vuc_session_trace_fn trace, void *arg)
{
	s->config.trace = trace;
	s->config.trace_arg = arg;
	s->traced = trace != NULL;
}
