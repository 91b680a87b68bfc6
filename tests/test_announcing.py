from __future__ import annotations

import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from conftest import settings
from mao.catalogue import Node, node_key
from mao.errors import NodeTaken
from mao.local_node import LocalNode, opened
from mao.registering import register_dataset, register_tool, withdraw_dataset, withdraw_tool
from mao.registry import Edit
from mao.values import now
from support import eventually
