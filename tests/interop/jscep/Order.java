import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.ByteArrayInputStream;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.cert.CertStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;

/** What the test wants done: one JSON object, in which everything binary is DER in base64. */
record Order(JsonObject json) {
    static Order parse(String line) {
        return new Order(JsonParser.parseString(line).getAsJsonObject());
    }

    boolean has(String name) {
        return json.has(name) && !json.get(name).isJsonNull();
    }

    /** A text, or null where there is none. */
    String text(String name) {
        return has(name) ? json.get(name).getAsString() : null;
    }

    List<String> texts(String name) {
        List<String> found = new ArrayList<>();
        for (JsonElement element : json.getAsJsonArray(name)) {
            found.add(element.getAsString());
        }
        return found;
    }

    byte[] bytes(String name) {
        return Base64.getDecoder().decode(text(name));
    }

    X509Certificate certificate(String name) throws GeneralSecurityException {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        return (X509Certificate) factory.generateCertificate(new ByteArrayInputStream(bytes(name)));
    }

    PrivateKey privateKey(String name) throws GeneralSecurityException {
        return KeyFactory.getInstance(algorithm())
                .generatePrivate(new PKCS8EncodedKeySpec(bytes(name)));
    }

    PublicKey publicKey(String name) throws GeneralSecurityException {
        return KeyFactory.getInstance(algorithm())
                .generatePublic(new X509EncodedKeySpec(bytes(name)));
    }

    /** "RSA" or "EC", of the keys in this order. */
    String algorithm() {
        return has("algorithm") ? text("algorithm") : "RSA";
    }

    static String base64(byte[] data) {
        return Base64.getEncoder().encodeToString(data);
    }

    static JsonArray certificates(CertStore store) throws GeneralSecurityException {
        JsonArray all = new JsonArray();
        for (Certificate certificate : store.getCertificates(null)) {
            all.add(base64(certificate.getEncoded()));
        }
        return all;
    }
}
