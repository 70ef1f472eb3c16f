"""Which beats are issued. A new schedule is one file, one line here, and a window that follows it."""

from intaglio.hardware.schedules.dense import Dense
from intaglio.hardware.schedules.listed import Listed
from intaglio.hardware.schedules.schedule import Schedule, Steps

SCHEDULES: tuple[type[Schedule], ...] = (Dense, Listed)

__all__ = ["SCHEDULES", "Dense", "Schedule", "Steps"]
