"""A small package in three layers with a circle in it, its tests, and codemods for it, good and bad."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from stand_in import make_repository

SHOP: Mapping[str, str] = MappingProxyType(
    {
        "shop/__init__.py": "",
        "shop/money.py": "def show(cents):\n    return '%d.%02d' % (cents // 100, cents % 100)\n",
        "shop/names.py": "def full(first, last):\n    return '%s %s' % (first, last)\n",
        "shop/node.py": "import shop.tree\n\n\ndef name(node):\n    return 'node %s' % node\n",
        "shop/tree.py": "import shop.node\n\n\ndef leaf():\n    return shop.node.name('leaf')\n",
        "shop/bill.py": (
            "from shop.money import show\nfrom shop.names import full\n\n\n"
            "def line(first, last, cents):\n    return '%s: %s' % (full(first, last), show(cents))\n"
        ),
        "shop/app.py": (
            "from shop import bill, tree\n\n\ndef run():\n    return '%s, %s' % (bill.line('A', 'B', 5), tree.leaf())\n"
        ),
        "tests/__init__.py": "",
        "tests/test_shop.py": (
            "import unittest\n\nfrom shop.app import run\nfrom shop.money import show\n\n\n"
            "class Shop(unittest.TestCase):\n"
            "    def test_run(self):\n        self.assertEqual(run(), 'A B: 0.05, node leaf')\n\n"
            "    def test_show(self):\n        self.assertEqual(show(250), '2.50')\n"
        ),
    }
)
CHECK = "python3 -m unittest -q"
SEEN = "for f in {files}; do echo '# seen' >> $f; done"
"""Done twice it would leave two marks."""
MODULES = tuple(sorted(path for path in SHOP if path.startswith("shop/")))


def make_shop(folder: Path, more: Mapping[str, str] = MappingProxyType({})) -> Path:
    return make_repository(folder, {**SHOP, **more})
