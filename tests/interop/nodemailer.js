// The servers of nodemailer.py: node nodemailer.js CONFIGURATION MESSAGES
//
// CONFIGURATION is JSON: key, cert (PEM files), users {login: password}, tokens {login: token}.
// Prints one line of JSON, {name: port}, when all of them listen on 127.0.0.1, and appends a line
// of JSON to the file MESSAGES for each message before it is answered.
'use strict';

const fs = require('fs');
const { SMTPServer } = require('smtp-server');

const [path, messages] = process.argv.slice(2);
const configuration = JSON.parse(fs.readFileSync(path, 'utf8'));

function refusal(code, text) {
    return Object.assign(new Error(text), { responseCode: code });
}

function localPart(address) {
    return address.address.split('@')[0];
}

function onAuth(auth, session, done) {
    if (auth.method === 'XOAUTH2') {
        const right = auth.accessToken === configuration.tokens[auth.username];
        const refused = { status: '401', schemes: 'bearer mac', scope: 'https://mail.example/' };
        return done(null, right ? { user: auth.username } : { data: refused });
    }
    const password = configuration.users[auth.username];
    const right =
        password !== undefined &&
        (auth.method === 'CRAM-MD5' ? auth.validatePassword(password) : auth.password === password);
    return right ? done(null, { user: auth.username }) : done(refusal(535, 'wrong password'));
}

function onMailFrom(address, session, done) {
    return done(localPart(address) === 'refused-sender' ? refusal(550, 'not this sender') : null);
}

function onRcptTo(address, session, done) {
    const codes = { nobody: 550, tempfail: 450, full: 452, drop: 421 };
    const code = codes[localPart(address)];
    return done(code ? refusal(code, 'not this recipient') : null);
}

// A server of LMTP answers for each recipient, one of SMTP for all.
function verdicts(recipients, lmtp) {
    const codes = { eodreject: 554, eodtemp: 451 };
    const answers = recipients.map((address) => {
        const code = codes[localPart(address)];
        return code ? refusal(code, 'not this content') : 'stored';
    });
    const refused = answers.find((answer) => answer instanceof Error);
    return lmtp ? [null, answers] : [refused || null, 'stored'];
}

function onData(lmtp) {
    return (stream, session, done) => {
        const parts = [];
        stream.on('data', (part) => parts.push(part));
        stream.on('end', () => {
            const [error, answer] = stream.sizeExceeded
                ? [refusal(552, 'too large')]
                : verdicts(session.envelope.rcptTo, lmtp);
            const { envelope, user, secure, transmissionType } = session;
            const content = Buffer.concat(parts).toString('base64');
            const accepted = !error;
            const line = { envelope, user, secure, transmissionType, accepted, content };
            fs.appendFileSync(messages, JSON.stringify(line) + '\n');
            done(error, answer);
        });
    };
}

const common = {
    key: fs.readFileSync(configuration.key),
    cert: fs.readFileSync(configuration.cert),
    name: 'nodemailer.example.test',
    logger: false,
    disableReverseLookup: true,
    authMethods: ['XOAUTH2', 'CRAM-MD5', 'PLAIN', 'LOGIN'],
    size: 1000000,
    hideENHANCEDSTATUSCODES: false,
    hideDSN: false,
    hideREQUIRETLS: false,
    onAuth,
    onMailFrom,
    onRcptTo,
};

const servers = {
    starttls: { ...common, onData: onData(false) },
    implicit: { ...common, secure: true, onData: onData(false) },
    plain: { ...common, disabledCommands: ['AUTH', 'STARTTLS'], onData: onData(false) },
    lmtp: { ...common, lmtp: true, disabledCommands: ['AUTH', 'STARTTLS'], onData: onData(true) },
};

const ports = {};
for (const [name, options] of Object.entries(servers)) {
    const server = new SMTPServer({ authOptional: true, ...options });
    // A client that leaves is no reason to end.
    server.on('error', () => {});
    server.listen(0, '127.0.0.1', () => {
        ports[name] = server.server.address().port;
        if (Object.keys(ports).length === Object.keys(servers).length) {
            process.stdout.write(JSON.stringify(ports) + '\n');
        }
    });
}
