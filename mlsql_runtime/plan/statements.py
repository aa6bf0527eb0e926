"""Every statement. Each checks what can be known without data or storage when it is made, and raises InputError."""

from __future__ import annotations

from mlsql_runtime.plan.predict import Predict
from mlsql_runtime.plan.preflight import Preflight
from mlsql_runtime.plan.register import Register
from mlsql_runtime.plan.tables import Load, Save, Select, Show
from mlsql_runtime.plan.train import Train

Statement = Load | Select | Train | Register | Predict | Save | Show | Preflight
