import { Microphone } from "./audio/microphone.js";
import { Recording } from "./audio/recording.js";
import { SourceFault } from "./audio/source-fault.js";
import { Controls } from "./controls.js";
import { Conversation } from "./conversation.js";
import { serverInfo } from "./stream/info.js";
import { endingAdvice, SOURCE_ADVICE } from "./view/advice.js";
import { showConnection } from "./view/connection.js";
import { byId } from "./view/dom.js";
import { Log } from "./view/log.js";
import { Notices } from "./view/notices.js";
import { Picture } from "./view/picture.js";

const PROVISIONAL_MS = 1_000;
const PROGRESS_MS = 500;

const notices = new Notices(byId("notices"));
const picture = new Picture(pick);
const log = new Log(pick);
const controls = new Controls({
  onMicrophone: () => begin("Microphone", (told) => new Microphone(told)),
  onFile: (file) => begin(file.name, (told) => recording(file, file.name, told)),
  onSample: playSample,
  onStop: () => {
    controls.stopping();
    conversation?.stop();
  },
  onToken: () => askServer(),
});

/** @type {Conversation | null} the one that runs, or the last */
let conversation = null;
let running = false;
/** How many talks were begun. */
let begun = 0;
/** @type {object} GetServerInfo */
let info = {};

/** Show what the server is and asks for. False: it did not say. */
async function askServer() {
  const before = begun;
  try {
    info = await serverInfo(controls.token);
    controls.show(info);
    if (before === begun) notices.clear("line");
    return true;
  } catch (ending) {
    if (ending.code === 4401) controls.askToken();
    if (before !== begun) return false; // what the talk that began meanwhile says of the line stands
    const first = ending.code === 4401 && !controls.token;
    const said = first ? { title: "This server asks for a token", help: "Enter yours below to begin.", tone: "note" } : endingAdvice(ending);
    notices.show("line", first ? said : { ...said, action: "Try again", act: askServer });
    return false;
  }
}

/** @param {string} name @param {(told: object) => any} source */
async function begin(name, source, consentBasis = "") {
  if (running) return;
  running = true;
  stand("connecting");
  // Nothing is heard before the server's notice, and its question for consent, are on the page.
  if (!(await askServer())) {
    leave("failed");
    return;
  }
  if (!consentBasis && !controls.agreed) {
    leave();
    notices.show("consent", { title: "Consent is needed first", help: "This server hears only those who agree. Tick the box, then start again." });
    controls.askConsent();
    return;
  }
  begun += 1;
  notices.clearAll();
  clear();
  const basis = consentBasis || (info.consentRequired ? "CONSENT_BASIS_CONSENT" : "");
  conversation = new Conversation({ token: controls.token, config: config(basis), views });
  controls.running(true, name);
  const opened = source(conversation.told);
  try {
    await opened.open();
  } catch (fault) {
    leave();
    showFault(fault);
    return;
  }
  if (!conversation.start(opened)) {
    leave();
    return;
  }
  picture.run(() => controls.progress(picture.level, conversation?.givenS ?? 0));
}

/** Nothing has begun. */
function leave(state = "idle") {
  controls.running(false);
  running = false;
  conversation = null;
  stand(state);
}

/** How the line stands. @param {string} name of a Session's state, or "idle" */
function stand(name) {
  showConnection(name);
  document.body.dataset.state = name;
}

function config(consentBasis) {
  const features = new Set(info.features ?? ["FEATURE_RESUME"]);
  const outputs = { progressIntervalMs: PROGRESS_MS };
  if (features.has("FEATURE_PROVISIONAL")) outputs.provisionalIntervalMs = PROVISIONAL_MS;
  return {
    outputs,
    resumable: features.has("FEATURE_RESUME"),
    ...(consentBasis && { consentBasis }),
    ...(controls.model && { model: controls.model }),
  };
}

function recording(file, name, told) {
  return new Recording(file, { ...told, name, speed: controls.speed, sound: controls.sound });
}

async function playSample() {
  const answer = await fetch("sample/talk.flac").catch(() => null);
  if (!answer?.ok) {
    showFault(new SourceFault("sample"));
    return;
  }
  const talk = await answer.blob();
  // It is synthetic speech: nobody is heard.
  await begin("Sample talk", (told) => recording(talk, "Sample talk", told), "CONSENT_BASIS_NOT_PERSONAL");
}

function showFault(fault) {
  const kind = fault instanceof SourceFault ? fault.kind : "busy";
  const offer = ["denied", "none", "busy", "insecure"].includes(kind);
  notices.show("source", {
    ...SOURCE_ADVICE[kind],
    detail: kind.startsWith("file") || kind === "busy" ? fault.detail : "",
    ...(offer && { action: "Choose a recording…", act: () => byId("choose-file").click() }),
    dismiss: true,
  });
}

const views = {
  notices,
  audio: (samples, rate) => picture.audio(samples, rate),
  utterance: (utterance) => {
    if (utterance.isFinal && !utterance.told) {
      utterance.told = true;
      log.add(utterance);
    }
    controls.showModel(conversation.talk.model ?? undefined);
    picture.utterance(conversation.talk, utterance);
  },
  say: (text) => log.say(text),
  state: ({ name, ending }) => {
    stand(name);
    picture.changed(conversation.talk);
    if (name === "failed" && ending?.code === 4401) controls.askToken();
  },
  over: () => {
    running = false;
    controls.running(false);
    picture.end(conversation.talk);
  },
};

/** Show this utterance, or with an empty id always the newest. */
function pick(id) {
  picture.pick(id === picture.picked ? "" : id, conversation?.talk);
  log.mark(picture.picked);
}

function clear() {
  picture.clear();
  log.clear();
}

byId("follow").addEventListener("click", () => pick(""));
askServer();
