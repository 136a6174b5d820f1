"""How long texts leave this process: so that the runner cuts them once more."""

import fcntl
import json
import os
import threading
import unittest
from concurrent.futures import ThreadPoolExecutor

import harness  # noqa: F401  Where the package is.
from punching_fist_agent.protocol import MARKER, Events

# What the runner keeps of a verdict's texts, and how long a line it reads as an event.
LONG_MAX = 64 * 1024
LINE_LIMIT = 256 * 1024


def emitted(kind: str, **fields) -> tuple[dict, int]:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as lines, os.fdopen(writer, "wb") as descriptor:
        emitting = threading.Thread(target=Events(descriptor.fileno()).emit, args=[kind], kwargs=fields)
        emitting.start()
        line = lines.readline()
        emitting.join()
    return json.loads(line), len(line)


def size(text: str) -> int:
    return len(json.dumps(text, ensure_ascii=False).encode())


class Texts(unittest.TestCase):
    def test_a_verdict_is_cut_behind_what_the_runner_keeps_and_fits_its_line(self):
        for unit in ["plain ", '\n"', "\x1b[0m\n", "ü ", "🥊 "]:
            text = unit * (300_000 // len(unit))
            event, length = emitted("finish", summary=text, report=text, plan=text)
            self.assertLess(length, LINE_LIMIT, unit)
            for field in ["report", "plan"]:
                head, rest = event[field].split(MARKER)
                self.assertTrue(text.startswith(head) and rest == "", unit)
                self.assertGreater(size(head), LONG_MAX + 8 * 1024, unit)

    def test_an_output_keeps_its_end_too(self):
        text = "head " * 50_000 + "the error"
        event, _ = emitted("output", text=text, code=1)
        head, tail = event["text"].split(MARKER)
        self.assertTrue(text.startswith(head) and text.endswith(tail) and tail.endswith("the error"))
        self.assertEqual(event["code"], 1)

    def test_no_word_is_cut_in_half(self):
        for text in ["token" * 50_000, "a " + "token" * 50_000, "token " * 50_000]:
            event, _ = emitted("output", text=text)
            head, tail = event["text"].split(MARKER)
            parts = [len(word) for word in [*head.split(), *tail.split()] if word not in ("a", "token")]
            self.assertEqual(parts, [])

    def test_lines_of_several_threads_stay_whole(self):
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        texts = [letter * 13_000 for letter in "abcd"]
        with os.fdopen(reader) as lines, ThreadPoolExecutor(len(texts)) as pool:
            emit = Events(writer).emit
            emitted = [pool.submit(emit, "message", text=text) for _ in range(50) for text in texts]
            read = [lines.readline() for _ in emitted]
        os.close(writer)
        self.assertEqual({len(line) for line in read}, {len(read[0])})
        self.assertEqual({json.loads(line)["text"] for line in read}, set(texts))

    def test_what_is_short_stays(self):
        for text in ["", "short", "\x00" * 13_000, "line\n" * 10_000]:
            self.assertEqual(emitted("message", text=text)[0]["text"], text)


if __name__ == "__main__":
    unittest.main()
