"""A box of the vendor that a test fills with made-up people: the calls of version 5 for groups, permissions, people and
devices, with the habits of its versions, and with faults. It also takes the calls that change it, so that it may stand
at either end of a migration."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

Json = dict[str, Any]
Fault = Callable[[web.Request], Any]
"""Given a request: None for the true answer, an HTTP status, JSON or text to answer instead, or "die"."""


@dataclass
class Box:
    """`skip_num` "entries" or "pages": what it counts; "ignored": every list is whole. `lists_ids`: groups have ids."""

    skip_num: Literal["entries", "pages", "ignored"] = "entries"
    lists_ids: bool = True
    has_devices: bool = True
    lists_one_group: bool = False
    lists_everybody: bool = True
    refuses: dict[str, int] = field(default_factory=dict)
    """identity_id -> the code with which its enrolment is refused."""
    groups: dict[str, Json] = field(
        default_factory=lambda: {"default_group": {"_id": "default_group", "description": ""}}
    )
    permissions: list[Json] = field(default_factory=list)
    people: dict[str, Json] = field(default_factory=dict)
    devices: list[Json] = field(default_factory=list)
    calls: list[tuple[str, str, Json]] = field(default_factory=list)
    fault: Fault = lambda _: None
    url: str = ""

    def group(self, name: str, group_id: str | None = None, description: str = "", **info: Any) -> None:
        self.groups[name] = {"_id": group_id or f"group-{len(self.groups)}", "description": description, "info": info}

    def permission(self, name: str, permission_id: str, **info: Any) -> None:
        self.permissions.append({"_id": permission_id, "name": name, "description": "", "info": info})

    def person(self, identity_id: str, *groups: str, photo: str = "cGhvdG8=", **info: Any) -> None:
        self.people[identity_id] = {
            "identity_id": identity_id,
            "group_name": list(groups or ("default_group",)),
            "reg_photo": photo,
            "info": {"name": identity_id.upper(), "type": 1, "permission_ids": ["0"], **info},
        }

    def device(self, address: str, group_id: str, permission_id: str, **fields: Any) -> None:
        known = {"device_id": f"id-{address}", "device_name": address, "device_key": address, "device_type": "photo"}
        self.devices.append({**known, "group_id": group_id, "permission_id": permission_id, "netRelay": {}, **fields})

    @property
    def changes(self) -> list[tuple[str, str, Json]]:
        """The calls that were to change something."""
        return [call for call in self.calls if call[0] != "GET"]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        self.calls.append((request.method, request.path, {**dict(request.query), **body}))
        fault = self.fault(request)
        if fault == "die":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if isinstance(fault, int):
            return web.json_response({"error": {"code": fault * 100, "message": "out of order"}}, status=fault)
        if isinstance(fault, str):
            return web.Response(text=fault)
        if fault is not None:
            return web.json_response(fault)
        if request.path.startswith("/SophonFace/api/images/"):
            return web.Response(body=b"photo", content_type="image/jpeg")
        call = f"{request.method} {request.path.rpartition('/api/')[0].strip('/')} {request.path.rpartition('/')[2]}"
        handle = self._handlers().get(call)
        if handle is None or ("Devices" in call and not self.has_devices):
            return _refused(40400)
        return handle(request, body)

    def _handlers(self) -> dict[str, Callable[[web.Request, Json], web.Response]]:
        return {
            "GET SophonFogSys groups": self._list_groups,
            "GET SophonFogSys permissions": self._list_permissions,
            "GET SophonFace groups": self._group_ids,
            "GET SophonFace permissions": self._permission_ids,
            "GET SophonFogSys users": self._list_people,
            "GET SophonDevice Devices": lambda _, __: _ok({"devices_list": self.devices}),
            "POST SophonFogSys groups": self._add_group,
            "POST SophonFogSys permissions": self._add_permission,
            "PUT SophonFogSys groups": self._change_group,
            "PUT SophonFogSys permissions": self._change_permission,
            "POST SophonFogSys users": self._enrol,
            "PUT SophonFogSys GroupUsers": self._join,
            "DELETE SophonFogSys GroupUsers": self._leave,
            "POST SophonDevice Devices": self._add_device,
        }

    def _page(self, request: web.Request, whole: list[Any]) -> list[Any]:
        if self.skip_num == "ignored" or "limit" not in request.query:
            return whole
        skip, limit = int(request.query["skip_num"]), int(request.query["limit"])
        first = skip * (limit if self.skip_num == "pages" else 1)
        return whole[first : first + limit]

    def _list_groups(self, request: web.Request, _: Json) -> web.Response:
        groups = [
            {"name": name, "description": group.get("description", "")}
            | ({"group_id": group["_id"], "groupname": name} if self.lists_ids else {})
            for name, group in self.groups.items()
        ]
        return _ok({"groups_list": self._page(request, groups)})

    def _list_permissions(self, _: web.Request, __: Json) -> web.Response:
        return _ok({"permissions_list": [{"name": one["name"], "description": ""} for one in self.permissions]})

    def _group_ids(self, request: web.Request, _: Json) -> web.Response:
        name = request.query["info.name"]
        found = [_identified(name, self.groups[name])] if name in self.groups else []
        return web.json_response({"data": found})

    def _permission_ids(self, request: web.Request, _: Json) -> web.Response:
        found = [one for one in self.permissions if one["name"] == request.query["info.name"]]
        return web.json_response({"data": [_identified(one["name"], one) for one in found]})

    def _list_people(self, request: web.Request, _: Json) -> web.Response:
        if "identity_id" in request.query:
            person = self.people.get(request.query["identity_id"])
            return _refused(40401) if person is None else _ok({"identities_list": [person]})
        if "group_name" not in request.query:
            everybody = list(self.people.values())
            return _ok({"identities_list": self._page(request, everybody)}) if self.lists_everybody else _refused(40071)
        name = request.query["group_name"]
        people = [one for one in self.people.values() if name in one["group_name"]]
        if self.lists_one_group:
            people = [{**one, "group_name": name} for one in people]
        return _ok({"identities_list": self._page(request, people)})

    def _add_group(self, _: web.Request, body: Json) -> web.Response:
        if body["group_name"] in self.groups or "," in body["group_name"]:
            return _refused(40012)
        if "unwanted" in body.get("info", {}):
            return _refused(40091)
        self.group(body["group_name"], description=body["description"], **body.get("info", {}))
        return _ok({"info": {"name": body["group_name"]}})

    def _add_permission(self, _: web.Request, body: Json) -> web.Response:
        name = body["permission_name"]
        if "," in name or any(one["name"] == name for one in self.permissions):
            return _refused(40012)
        if "unwanted" in body.get("info", {}) or body.get("info", {}).get("pass_times") == []:
            return _refused(40091)
        self.permission(name, f"here-{len(self.permissions)}", **body.get("info", {}))
        return _ok({"info": {"name": name}})

    def _change_group(self, _: web.Request, body: Json) -> web.Response:
        group = self.groups[body["group_name"]]
        group["description"], group["info"] = body["description"], {**group.get("info", {}), **body["info"]}
        return _ok({"info": {"name": body["group_name"]}})

    def _change_permission(self, _: web.Request, body: Json) -> web.Response:
        (permission,) = (one for one in self.permissions if one["name"] == body["permission_name"])
        permission["description"], permission["info"] = body["description"], {**permission["info"], **body["info"]}
        return _ok({"info": {"name": body["permission_name"]}})

    def _enrol(self, _: web.Request, body: Json) -> web.Response:
        who = body["identity_id"]
        if who in self.refuses:
            return _refused(self.refuses[who])
        if who in self.people and not body["ignore_exist"]:
            return _refused(40011)
        before = self.people.get(who, {}).get("group_name", [])
        groups = dict.fromkeys((*before, *body["group_name"].split(",")))
        self.person(who, *groups, photo=body["reg_photo"], **body["info"])
        return _ok({"identity_id": who})

    def _join(self, _: web.Request, body: Json) -> web.Response:
        for who in body["identity_id"]:
            groups = self.people[who]["group_name"]
            groups += [name for name in [body["group_name"]] if name not in groups]
        return _ok({"group_name": body["group_name"]})

    def _leave(self, _: web.Request, body: Json) -> web.Response:
        for who in body["identity_id"]:
            self.people[who]["group_name"].remove(body["group_name"])
        return _ok({"group_name": body["group_name"]})

    def _add_device(self, _: web.Request, body: Json) -> web.Response:
        (device,) = body["devices_list"]
        if device["device_name"] == "refused":
            return _ok({"success_devices": [], "failed_devices": [{"device_key": "", "reason": "the name is taken"}]})
        self.devices = [one for one in self.devices if one["device_key"] != device["device_key"]] + [device]
        return _ok({"success_devices": [{"device_id": "1", "device_name": device["device_name"]}]})


def _identified(name: str, stored: Json) -> Json:
    return {
        "_id": stored["_id"],
        "info": {**stored.get("info", {}), "name": name, "description": stored["description"]},
    }


def _ok(data: Json) -> web.Response:
    return web.json_response({"data": data})


def _refused(code: int) -> web.Response:
    error = {"code": code, "message": f"because of {code}", "status": "STATUS"}
    return web.json_response({"error": error}, status=code // 100)


@asynccontextmanager
async def running_box(box: Box) -> AsyncIterator[Box]:
    """The box at its `url`, on a free port."""
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", box.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        box.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield box
    finally:
        await runner.cleanup()
