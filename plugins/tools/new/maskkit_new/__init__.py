"""New: a plugin of your own, as a folder that installs and passes its tests as it stands."""

from maskkit import hookimpl


@hookimpl
def maskkit_commands():
    from maskkit_new._command import app

    return [app]
