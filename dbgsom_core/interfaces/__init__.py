"""The longer interfaces; `dbgsom_core.api` offers them to plugin authors."""
