"""Every setting of the server: one row each, and the object that holds their values.

`SETTINGS` is the only list.  The command line's options, the keys of a file, the
variables of the environment, the text of `dimserver config` and the attributes
of `Settings` come from it.  A new setting is one row in the module of its group
and one line of type in `Settings`.
"""

from dimserver.config.headers import HeaderTable
from dimserver.config.operators import api_warning, check_admin, operator_token
from dimserver.config.paths import check_paths
from dimserver.config.routing import RouteTable
from dimserver.config.setting import Setting, did_you_mean
from dimserver.config.settings import BY_ATTRIBUTE, FIXED, SETTINGS, Settings, looked_up, merge, read_values

__all__ = [
    "BY_ATTRIBUTE",
    "FIXED",
    "SETTINGS",
    "HeaderTable",
    "RouteTable",
    "Setting",
    "Settings",
    "api_warning",
    "check_admin",
    "check_paths",
    "did_you_mean",
    "looked_up",
    "merge",
    "operator_token",
    "read_values",
]
