"""Named in MUSTER_INCLUDE, this plants the bug of MUSTER_TEST_PLANT for the life of the process."""

from __future__ import annotations

import os

from tests.rig.faults.planted.planting import PLANT_VARIABLE, patches_of

for _patch in patches_of(os.environ[PLANT_VARIABLE]):
    setattr(_patch.owner, _patch.name, _patch.value)
