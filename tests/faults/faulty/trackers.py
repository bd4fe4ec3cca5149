"""Trackers."""

import os
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


class Shared(Fine):
    """The same observer each time."""

    def observer(self):
        return _EAR


class Nothing(Fine):
    """No observer."""

    def observer(self):
        return None


class Deaf(Fine):
    """An observer without hooks."""

    def observer(self):
        return object()


class Cls(Fine):
    """A class instead of an observer."""

    def observer(self):
        return Ear


class Misspelt(Fine):
    """A hook that nobody calls."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_epoch_ended(self, run):
                pass

        return Odd()


class Unknown(Fine):
    """An argument that nobody gives."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_epoch_finished(self, run, epok):
                pass

        return Odd()


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


class Forgetful(Fine):
    """Cannot hear of a run's end twice."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_run_finished(self, run, result):
                (run.folder.parent / "all").mkdir()

        return Odd()


class Greedy(Fine):
    """Asks a failed run for a result."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_run_failed(self, run, error):
                return self.result

        return Odd()


class Raising(Fine):
    """Has no observer to give."""

    def observer(self):
        raise RuntimeError("no observer today")


class Exiting(Fine):
    """Calls sys.exit with success."""

    def observer(self):
        sys.exit(0)


class Leaving(Fine):
    """Its observer calls sys.exit when a run fails."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_run_failed(self, run, error):
                sys.exit(0)

        return Odd()


class Ending(Fine):
    """Its observer ends the process with success."""

    def observer(self):
        class Odd(Ear):
            def dbgsom_run_started(self, run):
                os._exit(0)

        return Odd()


class Lost(Fine):
    """Does not know how to open."""

    def how_to_open(self):
        raise RuntimeError("lost")


class Speechless(Fine):
    """No word on how to open."""

    def how_to_open(self):
        return None
