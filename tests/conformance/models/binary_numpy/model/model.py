"""Arrays in and out: as MessagePack for binary requests, as lists in JSON."""

import datetime
import decimal
import uuid

import numpy as np


class Model:
    def predict(self, inputs):
        if "array" in inputs:
            array = np.asarray(inputs["array"], dtype=np.float32)
            return {"doubled": array * 2, "sum": array.sum(), "shape": array.shape, "raw": array.tobytes()[:4]}
        if "json" in inputs:
            return {"array": np.arange(3), "scalar": np.float32(0.5), "flag": np.bool_(True)}
        if "types" in inputs:
            return {
                "received": {name: type(value).__name__ for name, value in inputs["types"].items()},
                "datetime": datetime.datetime(2026, 1, 2, 3, 4, 5, 678),
                "date": datetime.date(2026, 1, 2),
                "time": datetime.time(3, 4, 5),
                "timedelta": datetime.timedelta(days=1, seconds=2),
                "decimal": decimal.Decimal("1.50"),
                "uuid": uuid.UUID(int=7),
            }
        return inputs
