# Holds discovery messages to the schemas of the Home Assistant whose Python runs this. Standard
# input: a JSON list of payloads. It prints what Home Assistant would refuse, and, since it drops
# unknown keys of a component without a word, these too.
import asyncio
import copy
import importlib
import json
import sys

import probatio
from homeassistant.components.mqtt import discovery, schemas
from homeassistant.core import HomeAssistant

bad = 0


def check(platform, config):
    module = importlib.import_module("homeassistant.components.mqtt." + platform)
    for strict in (module.PLATFORM_SCHEMA_MODERN, module.DISCOVERY_SCHEMA):
        try:
            strict(copy.deepcopy(config))
        except probatio.Invalid as wrong:
            return str(wrong)
    return None


async def main():
    global bad
    HomeAssistant("/config")  # templates want one
    for text in json.load(sys.stdin):
        payload = discovery.MQTTDiscoveryPayload(json.loads(text))
        discovery._replace_all_abbreviations(payload)
        schemas.validate_device_discovery_components(schemas.DEVICE_DISCOVERY_SCHEMA(copy.deepcopy(dict(payload))))
        for name, component in payload["components"].items():
            config = dict(component)
            platform = config.pop("platform")
            if not config:
                continue  # it is to be removed
            config["device"], config["origin"] = payload["device"], payload["origin"]
            discovery._merge_common_device_options(config, payload)
            wrong = check(platform, config)
            bad += wrong is not None
            print(payload["device"]["name"], name, platform, wrong or "ok")
    # What finds nothing proves nothing: a mistyped key must be found.
    if check("lock", {"command_topic": "a", "code_fromat": "x"}) is None:
        sys.exit("a mistyped key is not found")


asyncio.run(main())
sys.exit(1 if bad else 0)
