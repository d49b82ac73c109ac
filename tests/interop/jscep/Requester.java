import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.math.BigInteger;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.X509CRL;
import java.security.cert.X509Certificate;
import java.util.Date;
import java.util.List;
import java.util.stream.Stream;
import javax.security.auth.x500.X500Principal;
import org.bouncycastle.asn1.DERPrintableString;
import org.bouncycastle.asn1.pkcs.PKCSObjectIdentifiers;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cert.jcajce.JcaX509v3CertificateBuilder;
import org.bouncycastle.operator.ContentSigner;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.pkcs.PKCS10CertificationRequestBuilder;
import org.bouncycastle.pkcs.jcajce.JcaPKCS10CertificationRequestBuilder;
import org.jscep.client.Client;
import org.jscep.client.EnrollmentResponse;
import org.jscep.client.verification.CertificateVerifier;
import org.jscep.client.verification.OptimisticCertificateVerifier;
import org.jscep.client.verification.PreProvisionedCertificateVerifier;
import org.jscep.transaction.OperationFailureException;
import org.jscep.transaction.TransactionId;
import org.jscep.transport.Transport;
import org.jscep.transport.TransportException;
import org.jscep.transport.TransportFactory;
import org.jscep.transport.UrlConnectionTransportFactory;
import org.jscep.transport.request.GetCaCapsRequest;
import org.jscep.transport.request.Request;
import org.jscep.transport.response.Capabilities;
import org.jscep.transport.response.Capability;
import org.jscep.transport.response.ScepResponseHandler;

/**
 * jscep's client.  It takes the strongest algorithms that are announced; an order that names
 * "heed" lets it see only these of the announced capabilities, and so chooses others.
 */
record Requester(Order order, Client client, String profile) {
    private static final long DAY = 86_400_000L;

    static Requester of(Order order) throws Exception {
        CertificateVerifier trust = order.has("trust")
                ? new PreProvisionedCertificateVerifier(order.certificate("trust"))
                : new OptimisticCertificateVerifier();
        Client client = new Client(new URL(order.text("url")), trust);
        if (order.has("heed")) {
            client.setTransportFactory(new Heeding(order.texts("heed")));
        }
        return new Requester(order, client, order.text("profile"));
    }

    JsonObject capabilities() {
        Capabilities found = client.getCaCapabilities(profile);
        JsonObject answer = new JsonObject();
        JsonArray words = new JsonArray();
        for (Capability capability : Capability.values()) {
            if (found.contains(capability)) {
                words.add(capability.toString());
            }
        }
        answer.add("capabilities", words);
        answer.addProperty("cipher", found.getStrongestCipher());
        answer.addProperty("signature", found.getStrongestSignatureAlgorithm());
        return answer;
    }

    JsonObject ca() throws Exception {
        JsonObject answer = new JsonObject();
        answer.add("certificates", Order.certificates(client.getCaCertificate(profile)));
        return answer;
    }

    JsonObject rollover() throws Exception {
        JsonObject answer = new JsonObject();
        answer.add("certificates", Order.certificates(client.getRolloverCertificate(profile)));
        return answer;
    }

    /** Enrols; with "certificate" and "old key" they sign the request, as in a renewal. */
    JsonObject enrol() throws Exception {
        X500Principal subject = new X500Principal(order.bytes("subject"));
        PrivateKey key = order.privateKey("key");
        PublicKey publicKey = order.publicKey("public key");
        PKCS10CertificationRequest csr = csr(subject, key, publicKey);
        JsonObject answer = new JsonObject();
        EnrollmentResponse response;
        if (order.has("certificate")) {
            X509Certificate old = order.certificate("certificate");
            response = client.enrol(old, order.privateKey("old key"), csr, profile);
        } else {
            X509Certificate own = selfSigned(subject, key, publicKey);
            // A poll is signed by the same certificate.
            answer.addProperty("certificate", Order.base64(own.getEncoded()));
            response = client.enrol(own, key, csr, profile);
        }
        return told(response, answer);
    }

    JsonObject poll() throws Exception {
        TransactionId id =
                new TransactionId(order.text("transaction").getBytes(StandardCharsets.US_ASCII));
        X500Principal subject = new X500Principal(order.bytes("subject"));
        EnrollmentResponse response = client.poll(
                order.certificate("certificate"), order.privateKey("key"), subject, id, profile);
        return told(response, new JsonObject());
    }

    JsonObject certificate() throws Exception {
        JsonObject answer = new JsonObject();
        try {
            answer.add("certificates", Order.certificates(client.getCertificate(
                    order.certificate("certificate"), order.privateKey("key"),
                    new BigInteger(order.text("serial")), profile)));
        } catch (OperationFailureException refusal) {
            answer.addProperty("refused", refusal.getFailInfo().name());
        }
        return answer;
    }

    JsonObject crl() throws Exception {
        X509Certificate own = order.certificate("certificate");
        JsonObject answer = new JsonObject();
        try {
            X509CRL crl = client.getRevocationList(
                    own, order.privateKey("key"), own.getIssuerX500Principal(),
                    own.getSerialNumber(), profile);
            answer.addProperty("crl", crl == null ? null : Order.base64(crl.getEncoded()));
        } catch (OperationFailureException refusal) {
            answer.addProperty("refused", refusal.getFailInfo().name());
        }
        return answer;
    }

    private JsonObject told(EnrollmentResponse response, JsonObject answer) throws Exception {
        answer.addProperty("transaction", response.getTransactionId().toString());
        if (response.isSuccess()) {
            answer.add("certificates", Order.certificates(response.getCertStore()));
        } else if (response.isPending()) {
            answer.addProperty("pending", true);
        } else {
            answer.addProperty("refused", response.getFailInfo().name());
        }
        return answer;
    }

    private PKCS10CertificationRequest csr(X500Principal subject, PrivateKey key, PublicKey publicKey)
            throws Exception {
        PKCS10CertificationRequestBuilder builder =
                new JcaPKCS10CertificationRequestBuilder(subject, publicKey);
        if (order.has("challenge")) {
            builder.addAttribute(
                    PKCSObjectIdentifiers.pkcs_9_at_challengePassword,
                    new DERPrintableString(order.text("challenge")));
        }
        return builder.build(signer(key));
    }

    private static X509Certificate selfSigned(
            X500Principal subject, PrivateKey key, PublicKey publicKey) throws Exception {
        Date now = new Date();
        return new JcaX509CertificateConverter().getCertificate(
                new JcaX509v3CertificateBuilder(
                        subject, BigInteger.valueOf(now.getTime()),
                        new Date(now.getTime() - DAY), new Date(now.getTime() + DAY),
                        subject, publicKey).build(signer(key)));
    }

    private static ContentSigner signer(PrivateKey key) throws Exception {
        String kind = key.getAlgorithm().equals("RSA") ? "SHA256withRSA" : "SHA256withECDSA";
        return new JcaContentSignerBuilder(kind).build(key);
    }

    /** Moves messages as jscep does, but shows it only some of the capabilities. */
    private record Heeding(List<String> words) implements TransportFactory {
        @Override
        public Transport forMethod(Method method, URL url) {
            Transport real = new UrlConnectionTransportFactory().forMethod(method, url);
            return new Transport() {
                @Override
                @SuppressWarnings("unchecked")
                public <T> T sendRequest(Request request, ScepResponseHandler<T> handler)
                        throws TransportException {
                    T response = real.sendRequest(request, handler);
                    return request instanceof GetCaCapsRequest
                            ? (T) heeded((Capabilities) response) : response;
                }
            };
        }

        private Capabilities heeded(Capabilities announced) {
            return new Capabilities(Stream.of(Capability.values())
                    .filter(one -> announced.contains(one) && words.contains(one.toString()))
                    .toArray(Capability[]::new));
        }
    }
}
