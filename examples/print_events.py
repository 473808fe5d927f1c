"""Prints the events of PictureMatch: python print_events.py localhost:9092 [TOPIC] (needs the package aiokafka)."""

import asyncio
import json
import sys

from aiokafka import AIOKafkaConsumer


async def main(bootstrap: str, topic: str = "picturematch.events") -> None:
    options = {"group_id": "print-events-python", "auto_offset_reset": "earliest", "isolation_level": "read_committed"}
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, **options) as consumer:
        async for record in consumer:
            event = json.loads(record.value)
            print(event["id"], event["kind"], event["outcome"], event["device_ip"], event["name"], flush=True)


asyncio.run(main(*sys.argv[1:]))
