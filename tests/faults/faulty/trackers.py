"""Trackers."""

import sys

from dbgsom_core.api import Component


class Ear:
    """Hears everything."""

    def dbgsom_run_started(self, run):
        self.run = run

    def dbgsom_epoch_finished(self, run, epoch):
        self.epoch = epoch

    def dbgsom_run_finished(self, run, result):
        self.result = result

    def dbgsom_run_failed(self, run, error):
        self.error = error


class Fine(Component):
    """Nothing is wrong."""

    def observer(self):
        return Ear()

    def how_to_open(self):
        return "look here"


_EAR = Ear()


class Nothing(Fine):
    """No observer."""

    def observer(self):
        return None


class Tripping(Fine):
    """Raises in an epoch."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_epoch_finished(self, run, epoch):
                raise RuntimeError("tripped")

        return Odd()


class Unready(Fine):
    """Cannot hear of a run that fails before its first epoch."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_run_failed(self, run, error):
                return self.epoch

        return Odd()


class Leaving(Fine):
    """Its observer calls sys.exit when a run fails."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_run_failed(self, run, error):
                sys.exit(0)

        return Odd()


class Speechless(Fine):
    """No word on how to open."""

    def how_to_open(self):
        return None
