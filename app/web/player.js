// A pretended player: draws scenes, lets time pass, and counts the seconds that were really played (seeking does not count).

import { $, duration, setButton } from "./dom.js";
import { picture } from "./art.js";

const SPEEDS = [1, 20, 60];
const SCENES = 9;

export class Player {
  // video: { video_id, title, category }; lengthS > 0; onEnd is called once when the last second has played.
  constructor(video, lengthS, onEnd) {
    Object.assign(this, { video, lengthS, onEnd, at: 0, watchedS: 0, speed: 20, playing: false, scene: -1, last: 0 });
    $("play").addEventListener("click", () => this.toggle());
    $("scene").addEventListener("click", () => this.toggle());
    $("speed").addEventListener("click", () => this.faster());
    $("seek").addEventListener("input", () => this.seek((Number($("seek").value) / 1000) * lengthS));
    document.addEventListener("keydown", (event) => {
      if (event.key === "k" && !event.target.matches("input, textarea")) this.toggle();
    });
    document.addEventListener("visibilitychange", () => document.hidden && this.pause());
    this.draw();
    this.show();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.at >= this.lengthS) this.seek(0);
    this.playing = true;
    this.last = performance.now();
    $("player-end").hidden = true;
    this.show();
    requestAnimationFrame((now) => this.tick(now));
  }

  pause() {
    this.playing = false;
    this.show();
  }

  faster() {
    this.speed = SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length];
    $("speed").textContent = `${this.speed}×`;
  }

  seek(seconds) {
    this.at = Math.min(seconds, this.lengthS);
    this.draw();
    this.show();
  }

  tick(now) {
    if (!this.playing) return;
    const step = Math.min(((now - this.last) / 1000) * this.speed, this.lengthS - this.at);
    this.last = now;
    this.at += step;
    this.watchedS += step;
    this.draw();
    this.show();
    if (this.at >= this.lengthS) {
      this.pause();
      this.onEnd();
    } else requestAnimationFrame((next) => this.tick(next));
  }

  draw() {
    const scene = Math.min(Math.floor((this.at / this.lengthS) * SCENES), SCENES - 1);
    if (scene === this.scene) return;
    this.scene = scene;
    const frame = picture(this.video.category, `${this.video.video_id} scene ${scene}`);
    $("scene").append(frame);
    requestAnimationFrame(() => frame.classList.add("shown"));
    // The one below stays until the new one has faded in.
    while ($("scene").children.length > 2) $("scene").firstChild.remove();
  }

  show() {
    const share = this.at / this.lengthS;
    $("player").classList.toggle("playing", this.playing);
    if ($("play").dataset.state !== String(this.playing)) {
      $("play").dataset.state = String(this.playing);
      setButton($("play"), this.playing ? "pause" : "play", "", { label: this.playing ? "Pause" : "Play" });
    }
    $("seek").value = String(Math.round(share * 1000));
    $("seek").style.setProperty("--share", share);
    $("seek").setAttribute("aria-valuetext", `${duration(this.at)} of ${duration(this.lengthS)}`);
    $("time").textContent = `${duration(this.at)} / ${duration(this.lengthS)}`;
  }
}
