"""A camera, a stream or a file watched as it plays.

>>> with Watch(model, "0") as watching:
...     for result in watching:
...         print(result.prediction.end, result.active)
"""

from amge.live.watch import Result as Result
from amge.live.watch import Watch as Watch
