// Adds a button to each command, which copies it. Without scripts, the command can be selected.
"use strict";
document.querySelectorAll("pre.command").forEach((command) => {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(command); // outside of HTTPS, browsers let nobody write to the clipboard
    }
  });
  command.after(button);
});
