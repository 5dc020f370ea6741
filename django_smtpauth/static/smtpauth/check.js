/* Checks of an account: shows them below the form, so that what was typed stays there, and copies
 * the text for support. Without this script the check is a page of its own. */
"use strict";

{
    /** What a section of a check needs once it is on the page. */
    const prepare = (root) => {
        for (const button of root.querySelectorAll("[data-copy]")) {
            button.hidden = false;
        }
    };

    const copy = async (button) => {
        const details = button.closest("details");
        const text = details.querySelector("textarea");
        const said = details.querySelector("[data-copied]");
        try {
            await navigator.clipboard.writeText(text.value);
        } catch {
            // Without HTTPS there is no clipboard but that of the selection.
            text.select();
            document.execCommand("copy");
        }
        said.textContent = said.dataset.text;
    };

    /** Opens what a field is folded into, and goes there; false where there is no such field. */
    const goTo = (id) => {
        const field = document.getElementById(id);
        if (!field) {
            return false;
        }
        for (let at = field.closest("details"); at; at = at.parentElement.closest("details")) {
            at.open = true;
        }
        field.focus();
        field.scrollIntoView({block: "center"});
        return true;
    };

    /** The section as it comes in, stage by stage; false where the page itself has to tell. */
    const show = async (form, button, here) => {
        const data = new FormData(form, button);
        data.append("_pieces", "1");
        const url = button.getAttribute("formaction") || form.getAttribute("action") || "";
        const response = await fetch(url || window.location.href, {method: "POST", body: data});
        if (response.status !== 200 || response.redirected) {
            return false;
        }
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        let text = "";
        for (;;) {
            const {done, value} = await reader.read();
            if (done) {
                break;
            }
            text += decoder.decode(value, {stream: true});
            here.innerHTML = text;
        }
        return true;
    };

    const start = (form, here) => {
        const said = document.querySelector("[data-check-said]");
        let byPage = false;
        let busy = false;
        form.addEventListener("submit", async (event) => {
            const button = event.submitter;
            if (!button || !("check" in button.dataset) || byPage) {
                return;
            }
            event.preventDefault();
            if (busy) {
                return;
            }
            busy = true;
            here.setAttribute("aria-busy", "true");
            let shown = false;
            try {
                shown = await show(form, button, here);
            } catch {
                // No connection: the browser tells that better.
            }
            busy = false;
            here.removeAttribute("aria-busy");
            if (shown) {
                prepare(here);
                const verdict = here.querySelector("[data-verdict]");
                said.textContent = verdict ? verdict.textContent : "";
            } else {
                byPage = true;
                form.requestSubmit(button);
            }
        });
    };

    document.addEventListener("DOMContentLoaded", () => {
        prepare(document);
        const here = document.querySelector("[data-check-here]");
        if (here) {
            start(here.closest("form"), here);
        }
        document.addEventListener("click", (event) => {
            const button = event.target.closest("[data-copy]");
            const link = event.target.closest("[data-field]");
            if (button) {
                copy(button);
            } else if (link && goTo(link.dataset.field)) {
                event.preventDefault();
            }
        });
    });
}
