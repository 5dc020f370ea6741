/* The form of an account: fills in what follows from the provider and the address, shows what is
 * needed next, and hides what the chosen way to log in does not need. Without this script the
 * server does the same when the form is sent. Talks to one address of this site, and sends no
 * secret. */
"use strict";

{
    const SERVER = ["host", "port", "security"];
    const PAUSE = 300;

    /** What belongs to a way to log in; a field that stands nowhere here is always shown. */
    const NEEDED = {
        password: ["password"],
        username: ["password"],
        auth_mechanisms: ["password"],
        allow_auth_without_tls: ["password"],
        client_certificate: ["certificate"],
        client_key: ["certificate"],
    };

    const input = (name) => document.getElementById(`id_${name}`);

    const value = (name) => {
        const field = input(name);
        return field ? field.value.trim() : "";
    };

    const fill = (name, content) => {
        const field = input(name);
        if (field && field.type === "checkbox") {
            field.checked = content;
        } else if (field) {
            field.value = content;
        }
    };

    const start = (panel) => {
        const adding = "adding" in panel.dataset;
        const guide = panel.querySelector("[data-guide]");
        const said = panel.querySelector("[data-said]");
        // What this script filled in, and may replace.
        const filled = {};
        let waiting;
        let running;

        const isOurs = (name) => !value(name) || value(name) === filled[name];

        const take = (values, chosen) => {
            const serverIsOurs = chosen || isOurs("host");
            for (const [name, raw] of Object.entries(values)) {
                const content = typeof raw === "boolean" ? raw : String(raw);
                const mayFill = SERVER.includes(name) ? serverIsOurs : isOurs(name);
                if ((mayFill && content !== "") || content === true) {
                    fill(name, content);
                    filled[name] = content;
                }
            }
            if (!("host" in values) && value("host") && value("host") === filled.host) {
                fill("host", "");
            }
        };

        /* chosen: somebody chose the provider or asked for the server, which then replaces what
         * is there. */
        const ask = async (parameters, chosen) => {
            if (running) {
                running.abort();
            }
            running = new AbortController();
            try {
                const response = await fetch(
                    `${panel.dataset.url}?${new URLSearchParams(parameters)}`,
                    {signal: running.signal, headers: {Accept: "application/json"}},
                );
                if (!response.ok) {
                    return;
                }
                const answer = await response.json();
                take(answer.values, chosen);
                guide.innerHTML = answer.guide;
                said.textContent = answer.said;
                said.classList.toggle("visually-hidden", !("host" in answer.values));
            } catch {
                // Superseded, or no connection: the server fills in what is left empty.
            }
        };

        const askByAddress = () => {
            const slug = value("preset");
            const preset = slug === filled.preset ? "" : slug;
            if (preset === "" && slug) {
                // Found by the address before: another address may be another provider's.
                fill("preset", "");
            }
            ask({preset, address: value("from_email")}, false);
        };

        const later = () => {
            clearTimeout(waiting);
            waiting = setTimeout(askByAddress, PAUSE);
        };

        const address = input("from_email");
        if (adding && address) {
            address.addEventListener("input", later);
            if (address.value && !document.querySelector(".errornote")) {
                askByAddress();
            }
        }
        const provider = input("preset");
        if (provider) {
            provider.addEventListener("change", () => {
                const preset = value("preset");
                clearTimeout(waiting);
                delete filled.preset;
                // None of them is a choice as well: then the address is not asked.
                ask({preset, address: preset && value("from_email")}, Boolean(preset));
            });
        }
        guide.addEventListener("click", (event) => {
            if (event.target.closest("[data-look-up]")) {
                event.preventDefault();
                ask({address: value("from_email"), look_up: "1"}, true);
            }
        });
    };

    const showWhatIsNeeded = () => {
        const method = value("authentication");
        for (const [name, methods] of Object.entries(NEEDED)) {
            const field = input(name);
            const row = field && field.closest(`.field-${name}`);
            if (row) {
                const stored = field.value || document.getElementById(`id_${name}-clear`);
                const isKept = !methods.includes(method) && name.startsWith("client_") && stored;
                const hasError = row.querySelector(".errorlist");
                const isNeeded = methods.includes(method) || isKept || hasError;
                row.classList.toggle("smtpauth-off", !isNeeded);
            }
        }
    };

    document.addEventListener("DOMContentLoaded", () => {
        const panel = document.querySelector(".smtpauth-panel");
        if (!panel) {
            return;
        }
        start(panel);
        const method = input("authentication");
        if (method) {
            method.addEventListener("change", showWhatIsNeeded);
            showWhatIsNeeded();
        }
        const verify = input("verify");
        if (verify) {
            const warning = panel.querySelector("[data-unverified]");
            verify.addEventListener("change", () => {
                warning.hidden = verify.checked;
            });
        }
    });
}
