# SPDX-License-Identifier: BSD-3-Clause
"""A parser of OpenMetrics 1.0.0 and of Prometheus' text format 0.0.4 that forgives nothing."""

import re

LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:\\[\\"n]|[^\\"\n])*)"(,|$)')
SAMPLE = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)(?:\{(.+)\})? (\d+(?:\.\d+)?)')
SUFFIXES = {'counter': ['_total'], 'gauge': [''], 'info': ['_info'],
            'histogram': ['_bucket', '_sum', '_count']}


def unescape(text):
    return re.sub(r'\\(.)', lambda match: '\n' if match[1] == 'n' else match[1], text)


def parse_labels(text):
    labels = {}
    while text:
        match = LABEL.match(text)
        assert match and match[1] not in labels, text
        labels[match[1]] = unescape(match[2])
        text = text[match.end():]
        assert text or match[3] == ''
    return labels


class Family:
    def __init__(self, name, kind, unit):
        self.name, self.kind, self.unit = name, kind, unit
        self.samples = {}  # value, by name and labels
        assert not unit or name.endswith(f'_{unit}')

    def add(self, line, suffixes):
        match = SAMPLE.fullmatch(line)
        assert match, line
        key = match[1], tuple(parse_labels(match[2] or '').items())
        assert match[1] in [self.name + suffix for suffix in suffixes], line
        assert key not in self.samples, line
        assert self.kind != 'info' or match[3] == '1'
        self.samples[key] = float(match[3])

    def check_histograms(self):
        """Buckets of a device ascend to +Inf, which is the count."""
        buckets = {}
        for (name, labels), value in self.samples.items():
            if name.endswith('_bucket'):
                *others, (le, bound) = labels
                assert le == 'le'
                buckets.setdefault(tuple(others), []).append((bound, value))
        for labels, rows in buckets.items():
            bounds, counts = zip(*rows)
            assert bounds[-1] == '+Inf' and all(re.search('[.e]', bound) for bound in bounds[:-1])
            assert list(map(float, bounds)) == sorted(set(map(float, bounds)))
            assert list(counts) == sorted(counts)
            assert self.samples[f'{self.name}_count', labels] == counts[-1]
            assert (f'{self.name}_sum', labels) in self.samples
        assert len(self.samples) == sum(len(rows) + 2 for rows in buckets.values())


def parse_family(lines, is_open):
    """Take the lines of a family off."""
    order = ['TYPE', 'UNIT', 'HELP'] if is_open else ['HELP', 'TYPE']
    meta = {}
    while lines and lines[0].startswith('# ') and lines[0] != '# EOF':
        _, word, name, text = lines[0].split(' ', 3)
        if meta and name != meta['name']:
            break
        assert word in order and text, lines[0]
        order = order[order.index(word) + 1:]
        meta |= {'name': name, word: text}
        lines.pop(0)
    assert meta['HELP'].endswith('.') and meta['TYPE'] in SUFFIXES
    assert is_open or meta['TYPE'] != 'info'
    family = Family(meta['name'], meta['TYPE'], meta.get('UNIT'))
    suffixes = SUFFIXES[family.kind]
    if not is_open and family.kind == 'counter':
        assert family.name.endswith('_total')
        suffixes = ['']
    while lines and not lines[0].startswith('#'):
        family.add(lines.pop(0), suffixes)
    if family.kind == 'histogram':
        family.check_histograms()
    return family


def parse(text, is_open):
    """Returns the families by name."""
    assert text.endswith('# EOF\n' if is_open else '\n') and '\r' not in text
    lines = text.split('\n')[:-1]
    families = {}
    while lines and lines != ['# EOF']:
        family = parse_family(lines, is_open)
        assert family.name not in families
        families[family.name] = family
    assert lines == (['# EOF'] if is_open else [])
    return families


def samples(text, is_open):
    """Returns all values by name and labels."""
    return {key: value for family in parse(text, is_open).values()
            for key, value in family.samples.items()}
